// The picture with its mask: pointing with mouse, finger or arrow keys, and the divider of a comparison.

import type { CSSProperties } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Bitmap } from "./bitmap.js";
import { css, ink, type Layer, type Painted, type Side, wordColours } from "./paint.js";
import type { Mask, Session, State } from "./session.js";

/** How far an arrow key moves the cursor, as a share of the picture; with Shift four times as far. */
const STEP = 0.025;

export function Stage({ session, state }: { session: Session; state: State }) {
  const { picture, settings, masks, groups, pointed, pinned } = state;
  const frame = useRef<HTMLDivElement>(null);
  const [split, setSplit] = useState(0.5);
  const [cursor, setCursor] = useState<{ x: number; y: number }>();
  const comparing = settings.compare && settings.view === "words";
  useEffect(() => setCursor(undefined), [picture?.name, settings.view]);

  const layerAt = (x: number): Layer => {
    if (settings.view !== "words") return settings.view;
    return comparing && x > split ? "b" : "a";
  };
  const point = (x: number, y: number) => session.pointAt(layerAt(x), x, y);
  const place = (event: PointerEvent) => {
    const box = frame.current!.getBoundingClientRect();
    return [
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    ] as const;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, readonly [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const move = moves[event.key];
    if (event.key === "Escape") {
      session.unpin();
      setCursor(undefined);
    } else if (event.key === "Enter" || event.key === " ") session.pin(!pinned);
    else if (move) {
      const step = STEP * (event.shiftKey ? 4 : 1);
      const from = cursor ?? { x: 0.5, y: 0.5 };
      const to = { x: clamp(from.x + move[0] * step), y: clamp(from.y + move[1] * step) };
      setCursor(to);
      session.pin(false);
      point(to.x, to.y);
    } else return;
    event.preventDefault();
  };

  if (!picture) return <div class="frame empty" aria-hidden="true" />;
  const shown = settings.view === "words" ? undefined : groups?.[settings.view];
  const ratio = picture.width / picture.height;
  const cut = (side: Side) =>
    comparing
      ? {
          clipPath:
            side === "a" ? `inset(0 ${100 - split * 100}% 0 0)` : `inset(0 0 0 ${split * 100}%)`,
        }
      : {};
  return (
    <div class="frame-room" style={{ "--ratio": ratio, "--opacity": settings.opacity }}>
      <div
        ref={frame}
        class="frame"
        role="application"
        aria-roledescription="picture"
        aria-label={`Picture ${picture.name}. Arrow keys move a cursor that explains what lies under it, Enter keeps it, Escape leaves.`}
        aria-describedby="why-text"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move a cursor over it
        tabIndex={0}
        onKeyDown={onKeyDown}
        onFocus={() => {
          if (!pointed && frame.current?.matches(":focus-visible")) {
            setCursor({ x: 0.5, y: 0.5 });
            point(0.5, 0.5);
          }
        }}
        onBlur={() => setCursor(undefined)}
        onPointerMove={(event) => {
          if (event.pointerType === "mouse" && !pinned) point(...place(event));
        }}
        onPointerLeave={(event) => {
          if (event.pointerType === "mouse" && !pinned) session.unpin();
        }}
        onClick={(event) => {
          setCursor(undefined);
          if (pinned) session.unpin();
          else {
            point(...place(event as unknown as PointerEvent));
            session.pin(true);
          }
        }}
      >
        <Bitmap class="picture" bitmap={picture.bitmap} />
        <Bitmap
          class="mask"
          bitmap={masks.a?.bitmap}
          hidden={settings.view !== "words"}
          style={cut("a")}
        />
        <Bitmap class="mask" bitmap={masks.b?.bitmap} hidden={!comparing} style={cut("b")} />
        <Bitmap class="mask" bitmap={groups?.first.bitmap} hidden={settings.view !== "first"} />
        <Bitmap class="mask" bitmap={groups?.last.bitmap} hidden={settings.view !== "last"} />
        <Bitmap class="shade" bitmap={pointed?.shade} hidden={!pointed} />
        {!shown && !pointed && (
          <>
            {masks.a && (
              <Names mask={masks.a} from={0} to={comparing ? split : 1} style={cut("a")} />
            )}
            {comparing && masks.b && <Names mask={masks.b} from={split} to={1} style={cut("b")} />}
          </>
        )}
        {cursor && (
          <div class="cursor" style={{ left: `${cursor.x * 100}%`, top: `${cursor.y * 100}%` }} />
        )}
        {comparing && (
          <>
            <div class="divider" style={{ left: `${split * 100}%` }} />
            <span class="corner left">A</span>
            <span class="corner right">B</span>
          </>
        )}
      </div>
      {comparing && (
        <label class="split">
          <span class="visually-hidden">Divider between A and B</span>
          <input
            type="range"
            min="0"
            max="1"
            step="0.01"
            value={split}
            onInput={(event) => setSplit(Number(event.currentTarget.value))}
          />
        </label>
      )}
    </div>
  );
}

/** The names of the labels, each in the middle of its largest region, whole between `from` and `to`. */
function Names({
  mask,
  from,
  to,
  style,
}: {
  mask: Mask;
  from: number;
  to: number;
  style: CSSProperties;
}) {
  const first = mask.background ? 1 : 0;
  const colours = wordColours(mask.labels.length, mask.background);
  const placed: Painted["names"][number][] = [];
  for (const name of mask.names) {
    const crowded = placed.some(
      (other) => Math.abs(other.y - name.y) < 0.07 && Math.abs(other.x - name.x) < 0.2,
    );
    if (name.value >= first && name.x >= from && name.x <= to && !crowded) placed.push(name);
  }
  return (
    <div class="names" style={style} aria-hidden="true">
      {placed.map(({ value, x, y }) => {
        const label = mask.labels[value - first]!;
        const half = `min(${label.length / 2}ch + 9px, 20%)`;
        return (
          <span
            key={value}
            class="name-tag"
            style={{
              left: `clamp(${from * 100}% + ${half}, ${x * 100}%, ${to * 100}% - ${half})`,
              top: `clamp(14px, ${y * 100}%, 100% - 14px)`,
              background: css(colours, value),
              color: ink(colours, value),
            }}
          >
            {label}
          </span>
        );
      })}
    </div>
  );
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
