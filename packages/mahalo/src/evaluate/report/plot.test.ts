/** Parts of charts: axes do not run into each other, and series can be told apart. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { axes, line, mark, textWidth } from "./plot.ts";
import { linear } from "./scale.ts";
import { seriesCount } from "./style.ts";

test("the title of the y axis stands clear of the ticks, and inside the picture", () => {
  const label = fc.string({ unit: fc.constantFrom(..."0123456789.%-"), minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(label, (label) => {
      const frame = { left: 78, right: 700, top: 20, bottom: 400 };
      const scales = { x: linear([0, 1], [78, 700]), y: linear([0, 1], [400, 20]) };
      const drawn = axes({
        ...{ frame, ...scales, xTicks: [], yTicks: [{ at: 0.5, label }] },
        ...{ xLabel: "accuracy", yLabel: "engagement" },
      }).toString();
      const at = Number(/rotate\(-90 ([\d.]+) /.exec(drawn)?.[1]);
      // Letters of 13 px reach some 10 px up from their foot and 4 down.
      expect(at - 10).toBeGreaterThanOrEqual(0);
      expect(at + 4).toBeLessThanOrEqual(frame.left - 8 - textWidth(label));
    }),
  );
});

test("twelve series all look different, by their marks and by their lines", () => {
  const all = Array.from({ length: 12 }, (_, index) => index);
  expect(seriesCount).toBe(12);
  expect(new Set(all.map((at) => String(mark(at, [0, 0])))).size).toBe(12);
  expect(
    new Set(
      all.map((at) =>
        String(
          line(at, [
            [0, 0],
            [1, 1],
          ]),
        ),
      ),
    ).size,
  ).toBe(12);
  expect(String(mark(12, [0, 0]))).toBe(String(mark(0, [0, 0])));
});
