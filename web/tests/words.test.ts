import { describe, expect, test } from "vitest";
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
