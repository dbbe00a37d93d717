/** Charts' axes: what they write does not run into each other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { axes, textWidth } from "./plot.ts";
import { linear } from "./scale.ts";

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
