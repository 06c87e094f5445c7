// Frames to bytes and back: msgpack in binary messages, JSON in text messages. The only place that does either.

import { decode as unpack, encode as pack } from "@msgpack/msgpack";
import type { ClientFrame, Frame, ServerFrame } from "./frames";
import { SUBPROTOCOL_JSON } from "./frames";

export type Message = string | Uint8Array<ArrayBuffer>;

export interface Codec {
  encode(frame: ClientFrame): Message;
  /** Throws when the message is not a map with a `type`. A type this page does not know is the caller's to drop. */
  decode(message: string | ArrayBuffer): ServerFrame;
}

export const msgpackCodec: Codec = {
  encode: (frame) => packed(frame),
  decode: (message) => {
    if (typeof message === "string") throw new Error("a text message came where msgpack was agreed");
    return frameOf(unpack(new Uint8Array(message))) as ServerFrame;
  },
};

export const jsonCodec: Codec = {
  encode: (frame) => JSON.stringify(frame),
  decode: (message) => {
    if (typeof message !== "string") throw new Error("a binary message came where JSON was agreed");
    return frameOf(JSON.parse(message)) as ServerFrame;
  },
};

export function codecFor(subprotocol: string): Codec {
  return subprotocol === SUBPROTOCOL_JSON ? jsonCodec : msgpackCodec;
}

/** An absent field means its default, so `undefined` is left out rather than sent as nil. */
export function packed(frame: Frame): Uint8Array<ArrayBuffer> {
  return pack(frame, { ignoreUndefined: true }).slice();
}

function frameOf(value: unknown): Frame {
  if (typeof value !== "object" || value === null || typeof (value as { type?: unknown }).type !== "string") {
    throw new Error("a message was not a frame: it has no type");
  }
  return value as Frame;
}
