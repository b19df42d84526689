// Loaded into a server before everything else: SIGUSR2 sets its clock back by an hour, as an administrator
// or a time server may.

const { now } = Date;
let offset = 0;

globalThis.Date = class extends Date {
  constructor(...given) {
    if (given.length === 0) super(now() + offset);
    else super(...given);
  }
  static now() {
    return now() + offset;
  }
};
process.on("SIGUSR2", () => {
  offset -= 3_600_000;
});
