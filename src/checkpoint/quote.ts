// Names from strangers' files in error messages.

/** The text in double quotes: shortened, and without control characters that a terminal would obey. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
