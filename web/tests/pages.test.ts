import { beforeAll, describe, expect, test, vi } from "vitest";
import { landing, moved, roomFor } from "../src/pages/reorder";
import type { parseRoute as ParseRoute, searchHref as SearchHref } from "../src/pages/route";

describe("a row that is dragged", () => {
  test("lands where its middle is, and never outside of the list", () => {
    expect(landing(0, 0, 50, 4)).toBe(0);
    expect(landing(0, 24, 50, 4)).toBe(0);
    expect(landing(0, 26, 50, 4)).toBe(1);
    expect(landing(3, -1_000, 50, 4)).toBe(0);
    expect(landing(1, 1_000, 50, 4)).toBe(3);
  });

  test("in a list that is not laid out stays where it is", () => {
    expect(landing(2, 100, 0, 4)).toBe(2);
  });

  test("takes the others' places and leaves them in their order", () => {
    expect(moved(["a", "b", "c", "d"], 0, 2)).toEqual(["b", "c", "a", "d"]);
    expect(moved(["a", "b", "c", "d"], 3, 0)).toEqual(["d", "a", "b", "c"]);
    expect(moved(["a"], 0, 0)).toEqual(["a"]);
  });

  test("is made room for by those between, one row each", () => {
    expect([0, 1, 2, 3].map((index) => roomFor(index, 0, 2))).toEqual([0, -1, -1, 0]);
    expect([0, 1, 2, 3].map((index) => roomFor(index, 3, 1))).toEqual([0, 1, 1, 0]);
  });
});

describe("an address", () => {
  let parseRoute: typeof ParseRoute;
  let searchHref: typeof SearchHref;
  beforeAll(async () => {
    vi.stubGlobal("location", { hash: "" });
    vi.stubGlobal("addEventListener", () => undefined);
    ({ parseRoute, searchHref } = await import("../src/pages/route"));
  });

  test.each([
    ["", { page: "albums" }],
    ["#/", { page: "albums" }],
    ["#/album/3wYK", { page: "album", id: "3wYK" }],
    ["#/album/../x", { page: "albums" }],
    ["#/artist/0abn", { page: "artist", id: "0abn" }],
    ["#/library", { page: "library", shelf: "tracks" }],
    ["#/library/recent", { page: "library", shelf: "recent" }],
    ["#/library/nowhere", { page: "library", shelf: "tracks" }],
    ["#/now", { page: "now" }],
    ["#/nowhere", { page: "albums" }],
    ["#/search/%", { page: "search", words: "%" }],
  ])("%s is its page", (hash, route) => expect(parseRoute(hash)).toEqual(route));

  test.each(["ada", "a/b", "50 % #1?", "Ænima"])("of a search keeps the words: %s", (words) => {
    expect(parseRoute(searchHref(words))).toEqual({ page: "search", words });
  });
});
