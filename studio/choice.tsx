// One of a few: radio buttons that look like a switch.

interface Props<T extends string> {
  /** What is chosen, for screen readers. */
  legend: string;
  /** Of the group; no two on the page have the same. */
  name: string;
  choices: readonly (readonly [T, string])[];
  value: T;
  choose(value: T): void;
  disabled?(value: T): boolean;
  wide?: boolean;
}

export function Choice<T extends string>(props: Props<T>) {
  const { legend, name, choices, value, choose, disabled, wide } = props;
  return (
    <fieldset class={wide ? "choice wide" : "choice"}>
      <legend class="visually-hidden">{legend}</legend>
      {choices.map(([one, title]) => (
        <label key={one}>
          <input
            type="radio"
            name={name}
            checked={value === one}
            disabled={disabled?.(one)}
            onChange={() => choose(one)}
          />
          <span>{title}</span>
        </label>
      ))}
    </fieldset>
  );
}
