import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBase64 } from "./base64.js";
import { parseJson } from "./json.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const limit = 1 << 20;

test("base64 of any bytes, broken into lines or not, in either alphabet, comes back", () => {
  const width = fc.integer({ min: 1, max: 80 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), width, fc.boolean(), (data, line, url) => {
      const text = Buffer.from(data).toString(url ? "base64url" : "base64");
      const lines = text.replace(new RegExp(`.{${line}}`, "g"), "$&\r\n");
      for (const given of [text, lines, `data:image/png;base64,${text}`]) {
        expect([...fromBase64(given, limit)]).toEqual([...data]);
      }
    }),
  );
});

test("a sign that is no base64 is found wherever it stands", () => {
  const where = fc.nat(400);
  const signs = fc.constantFrom("!", "\u0000", "\u00e9", "%", "\ud83d\ude00");
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), where, signs, (data, at, sign) => {
      const text = Buffer.from(data).toString("base64").replace(/=+$/, "");
      const cut = at % (text.length + 1);
      const given = text.slice(0, cut) + sign + text.slice(cut);
      expect(() => fromBase64(given, limit)).toThrow(/no base64/);
    }),
  );
});

test("values are JSON's own, but a picture, which is bytes", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify({ value });
      fc.pre(!/__proto__|prototype/.test(text));
      expect(parseJson(bytes(text), limit)).toEqual(JSON.parse(text));
    }),
  );
  const { picture } = parseJson(bytes('\ufeff{"picture": "AQID"}'), limit) as { picture: unknown };
  expect(picture).toEqual(Buffer.from([1, 2, 3]));
});

test.each([
  ["", /no JSON/],
  ["{", /no JSON/],
  ['{"__proto__": 1}', /__proto__/],
  ['{"a": [{"\\u005f_proto__": {}}]}', /__proto__/],
  ['{"constructor": {"prototype": {}}}', /prototype/],
  [`[${"[],".repeat(30_000)}0]`, /brackets/],
  ['{"picture": "!"}', /no base64/],
])("%.30s is refused", (text, message) => {
  expect(() => parseJson(bytes(text), limit)).toThrow(message);
});

test("a picture beyond the limit is refused before it is decoded", () => {
  expect(() => parseJson(bytes(`{"picture": "${"A".repeat(2000)}"}`), 1000)).toThrow(/1000 bytes/);
});
