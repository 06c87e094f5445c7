// The golden frames that the server's tests read too: both encodings, both ways.
import { existsSync, readFileSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { describe, expect, it, test } from "vitest";
import { jsonCodec, msgpackCodec, packed } from "../src/wire/codec";
import type { ClientFrame, Frame } from "../src/wire/frames";

interface Golden {
  name: string;
  json: Frame;
  msgpack_hex: string;
}

const file = new URL("../../tests/wire/golden/frames.json", import.meta.url);
const golden = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Golden[]) : null;

if (golden === null) {
  test.skip("golden frames: tests/wire/golden/frames.json is not there", () => undefined);
} else {
  const bytes = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(hex, "hex"));

  test("there is a golden frame of every kind", () => {
    expect(golden.length).toBeGreaterThan(20);
    expect(new Set(golden.map((one) => one.json.type)).size).toBeGreaterThanOrEqual(23);
  });

  describe.each(golden)("golden frame $name", ({ json, msgpack_hex }) => {
    it("is read from msgpack as its JSON says", () => {
      expect(msgpackCodec.decode(bytes(msgpack_hex).buffer)).toEqual(json);
    });

    it("is read from JSON text as it stands", () => {
      expect(jsonCodec.decode(JSON.stringify(json))).toEqual(json);
    });

    it("survives being written in both encodings", () => {
      expect(decode(packed(json))).toEqual(json);
      expect(JSON.parse(jsonCodec.encode(json as ClientFrame) as string)).toEqual(json);
    });
  });
}

test("an absent field is left out, not sent as nil", () => {
  const frame = { type: "volume", volume_percent: 3, muted: undefined } as unknown as ClientFrame;
  expect(decode(packed(frame))).toEqual({ type: "volume", volume_percent: 3 });
});

test.each([[new ArrayBuffer(0)], [packed([1, 2] as unknown as Frame).buffer], ["{}"]])(
  "what is not a frame is refused (%#)",
  (message) => {
    expect(() => (typeof message === "string" ? jsonCodec : msgpackCodec).decode(message)).toThrow();
  },
);
