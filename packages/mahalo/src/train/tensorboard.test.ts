/** Tests of TensorBoard event files, against recorded bytes and, where it is there, TensorBoard itself. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  crc32c,
  EventsFile,
  encodeScalars,
  encodeVersion,
  frameRecord,
  maskedCrc32c,
} from "./tensorboard.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-events-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What TensorBoard 2.21's own RecordWriter and protobuf classes wrote for the two events of the test. */
const recorded =
  "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe93c00000000" +
  "000000c8b7a3520900006040fc54d94110ac022a2e0a0b0a046c6f7373150000203f0a1f0a1861636375726163792f726577617264732f6d617267696e73150000c0bf5ef9284b";

describe("TensorBoard event files", () => {
  test("CRC-32C equals the vectors of RFC 3720", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(maskedCrc32c(Buffer.from("123456789"))).toBe(
      (((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0,
    );
  });

  test("events equal TensorBoard's own bytes", () => {
    const scalars = { loss: 0.625, "accuracy/rewards/margins": -1.5 };
    const bytes = Buffer.concat([
      frameRecord(encodeVersion(1700000000.25)),
      frameRecord(encodeScalars(1700000001.5, 300, scalars)),
    ]);
    expect(bytes.toString("hex")).toBe(recorded);
  });

  test("a resumed file equals one that never stopped, also after a torn record", () => {
    const now = () => 1700000000;
    const write = (path: string, steps: number[], resumeStep?: number) => {
      const file = new EventsFile(path, resumeStep === undefined ? { now } : { now, resumeStep });
      for (const step of steps) {
        file.scalars(step, { loss: 1 / step, tokens_per_second: step * 1e6 });
      }
      file.close();
    };
    const [whole, cut] = [join(folder, "whole.tfevents"), join(folder, "cut.tfevents")];
    write(whole, [1, 2, 128, 300, 40_000]);
    write(cut, [1, 2, 128, 200]);
    appendFileSync(cut, Buffer.from([24, 0, 0]));
    write(cut, [300, 40_000], 128);
    expect(readFileSync(cut).equals(readFileSync(whole))).toBe(true);
    write(cut, [1, 2, 128, 300, 40_000], 0);
    expect(readFileSync(cut).equals(readFileSync(whole))).toBe(true);
  });

  test("TensorBoard reads the file back", (context) => {
    const python = process.env.MAHALO_PYTHON ?? "python3";
    try {
      execFileSync(python, ["-c", "import tensorboard"], { stdio: "ignore" });
    } catch {
      context.skip("no Python with tensorboard here (set MAHALO_PYTHON)");
    }
    const file = new EventsFile(join(folder, "events.out.tfevents.mahalo"));
    file.scalars(5, { loss: 0.25 });
    file.scalars(6_000_000_000, { "engagement/rewards/accuracies": 1 });
    file.close();
    const script = `
import sys
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
for event in LegacyEventFileLoader(sys.argv[1]).Load():
    for value in event.summary.value:
        print(event.step, value.tag, value.simple_value)
`;
    const out = execFileSync(python, ["-c", script, join(folder, "events.out.tfevents.mahalo")], {
      encoding: "utf8",
    });
    expect(out.trim().split("\n")).toEqual(["5 loss 0.25", "6000000000 engagement/rewards/accuracies 1.0"]);
  });
});
