// The few errors that the package throws on purpose. All of them mean "the input is at fault, and here
// is the way out": the command line turns them into one line on stderr and exit code 2.

/** Bad input: the message names the offending value and what to do about it. */
export class InputError extends Error {
  override name = "InputError";
}

/** A picture that cannot be read, is too large, or is not a picture. */
export class PictureError extends InputError {
  override name = "PictureError";
}

/** A checkpoint that is broken, hostile, or does not fit its configuration. */
export class CheckpointError extends InputError {
  override name = "CheckpointError";
}

/** A model or training configuration with a wrong or missing field. */
export class ConfigError extends InputError {
  override name = "ConfigError";
}

/** A download that failed; the message says what to do without a network. */
export class HubError extends InputError {
  override name = "HubError";
}
