// The ways in which a request of the page fails: a command that the session refused, a REST answer, and a login that
// needs something more.

export class CommandFailed extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

export class RestError extends Error {
  constructor(
    /** 0: the server was not reached. */
    readonly status: number,
    message: string,
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }
}

/** The password was right, but for one time: a new one has to come with it. */
export class MustChangePassword extends Error {}
