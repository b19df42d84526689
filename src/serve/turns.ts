// Requests that come at the same moment, one in each turn of the event loop: timers, bodies and answers of the
// others are served between them, however many there are.

/**
 * Wraps the handler of a server's requests.
 *
 * @example
 * createServer(inTurns((request, response) => response.end("hello")));
 */
export function inTurns<Args extends unknown[]>(
  handler: (...args: Args) => void,
): (...args: Args) => void {
  const waiting: Args[] = [];
  const turn = () => {
    const next = waiting.shift();
    if (waiting.length > 0) setImmediate(turn);
    if (next) handler(...next);
  };
  return (...args) => {
    if (waiting.push(args) === 1) setImmediate(turn);
  };
}
