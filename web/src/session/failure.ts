// The two ways in which a request of the page fails: a command that the session refused, and a REST answer.

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
