import { describe, expect, test } from "vitest";
import { CommandFailed } from "../src/session/failure";
import { errorText, gapText } from "../src/pages/words";
import { artistNames, clockText, coverUrl, lengthText } from "../src/library/library";

describe("what a listener reads", () => {
  test.each([
    [0, "0:00"],
    [187_999, "3:07"],
    [3_729_000, "1:02:09"],
    [-5, "0:00"],
  ])("%i ms are shown as %s", (ms, text) => expect(clockText(ms)).toBe(text));

  test.each([
    [10_000, "1 min"],
    [2_520_000, "42 min"],
    [3_900_000, "1 h 5 min"],
  ])("an album of %i ms lasts %s", (ms, text) => expect(lengthText(ms)).toBe(text));

  test("the smallest cover that is sharp enough is fetched", () => {
    const images = [640, 64, 300].map((width) => ({ url: String(width), width, height: width }));
    expect(coverUrl(images, 56)).toBe("64");
    expect(coverUrl(images, 200)).toBe("300");
    expect(coverUrl(images, 2_000)).toBe("640");
    expect(coverUrl([], 56)).toBeNull();
  });

  test("several artists are one line", () => {
    expect(artistNames([{ id: "1", name: "Ada" }, { id: "2", name: "Bo" }])).toBe("Ada, Bo");
    expect(artistNames(undefined)).toBe("");
  });
});

describe("the gap of a handover", () => {
  const handoff = { handoff_id: "h", from_device_id: "a", to_device_id: "b", at_ms: 1 };
  test.each([
    [3.14, "3.1 ms gap"],
    [-2.04, "2.0 ms overlap"],
    [-0.02, "0.0 ms gap"],
    [12.6, "13 ms gap"],
    [null, null],
  ])("%s is said as %s", (gap_ms, text) => expect(gapText({ ...handoff, gap_ms })).toBe(text));
});

describe("errors in a listener's words", () => {
  test("a disallowed action says why", () => {
    expect(errorText(new CommandFailed("DISALLOWED", "x", { reasons: ["no_next_tracks"] }))).toContain("nothing after");
  });

  test("a refused handover says what to do", () => {
    const error = new CommandFailed("HANDOFF_FAILED", "given up: needs_gesture", { reason: "target_refused" });
    expect(errorText(error)).toContain("tapped once");
  });

  test("a code without words of its own still gets the server's sentence", () => {
    expect(errorText(new CommandFailed("BAD_REQUEST", "position is below 0"))).toBe("Position is below 0.");
  });
});
