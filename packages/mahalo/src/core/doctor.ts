/** What set-up found on this machine and what the machine can do, for people who ask why it is slow or does not start. */
import { existsSync } from "node:fs";
import {
  getThreads,
  hasCuda,
  readSetUpRecord,
  SET_UP_COMMAND,
  type SetUpRecord,
  torchConfig,
  torchVersion,
} from "@mahalo/torch";
import { formatBytes } from "./format.ts";
import { findGpus, findMemory, findProcessor, type Memory, type Processor } from "./machine.ts";
import { measureGemm } from "./speed.ts";

/** What `mahalo doctor` reports. */
export type Diagnosis = {
  node: string;
  platform: string;
  libtorch: {
    version: string;
    folder: string;
    source: SetUpRecord["libtorch"]["source"];
    capability: string;
  };
  compiler: string;
  devices: string[];
  processor: Processor;
  /** Threads that libtorch uses for one operator. */
  threads: number;
  memory: Memory;
  /** Measured rate of 1024³ matrix products, in 10^9 floating-point operations a second. */
  gemm: { f32: number; bf16: number };
  model: { file: string; there: boolean };
  /** What could be better, with what to do about it. */
  advice: string[];
};

const SOURCES: Record<SetUpRecord["libtorch"]["source"], string> = {
  LIBTORCH: "set by LIBTORCH",
  python: "the active Python's torch",
  cache: "set-up's private copy",
};

const adviceFor = (
  { gemm, processor, threads, devices, model }: Omit<Diagnosis, "advice">,
  gpus: string[],
): string[] => {
  const advice: string[] = [];
  if (gemm.bf16 < gemm.f32) {
    advice.push(
      "training in bf16 is slower than in f32 on this processor: compute in f32 (precision: auto); decoding with --weights bf16 or int8 is faster",
    );
  }
  if (threads < processor.count) {
    advice.push(`libtorch uses ${threads} of ${processor.count} processors: see OMP_NUM_THREADS`);
  }
  if (gpus.length > 0 && !devices.includes("cuda")) {
    advice.push(
      `${gpus.join(", ")} is not used: install torch 2.15 with CUDA into the active Python, then run ${SET_UP_COMMAND}`,
    );
  }
  if (!model.there) advice.push(`${model.file} is gone: run ${SET_UP_COMMAND}`);
  return advice;
};

/**
 * Looks at set-up's record, libtorch and the machine, and measures matrix products for about a second.
 *
 * @param options `measure`: how the rates are measured; by default on this machine, now.
 * @throws MahaloError `E_TORCH_NOT_BUILT` where set-up has not run.
 */
export const diagnose = ({ measure = measureGemm }: { measure?: typeof measureGemm } = {}): Diagnosis => {
  const { libtorch, addon, model } = readSetUpRecord();
  const gpus = findGpus();
  const rates = measure({ milliseconds: 400 });
  const diagnosis: Omit<Diagnosis, "advice"> = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    libtorch: {
      version: torchVersion(),
      folder: libtorch.folder,
      source: libtorch.source,
      capability: /CPU capability usage: (\S+)/.exec(torchConfig())?.[1] ?? "unknown",
    },
    compiler: addon.compiler,
    devices: hasCuda() ? ["cpu", "cuda"] : ["cpu"],
    processor: findProcessor(),
    threads: getThreads(),
    memory: findMemory(),
    gemm: { f32: rates.f32 / 1e9, bf16: rates.bf16 / 1e9 },
    model: { file: model, there: existsSync(model) },
  };
  return { ...diagnosis, advice: adviceFor(diagnosis, gpus) };
};

/** The diagnosis as text: a line for each thing found, then the advice. */
export const describeDiagnosis = (diagnosis: Diagnosis): string => {
  const { processor, libtorch, memory, gemm } = diagnosis;
  const abilities = (["avx2", "avx512", "bf16", "amx"] as const).map(
    (name) => `${processor[name] ? "" : "no "}${name}`,
  );
  const lines = [
    ["node", `${diagnosis.node}, ${diagnosis.platform}`],
    ["libtorch", `${libtorch.version} in ${libtorch.folder} (${SOURCES[libtorch.source]})`],
    ["kernels", `${libtorch.capability}; addon by ${diagnosis.compiler}`],
    ["devices", diagnosis.devices.join(", ")],
    ["processor", `${processor.name}, ${processor.count} of them; ${abilities.join(", ")}`],
    ["threads", String(diagnosis.threads)],
    ["memory", `${formatBytes(memory.total)}, ${formatBytes(memory.available)} available`],
    ["gemm", `${gemm.f32.toFixed(0)} GF/s in f32, ${gemm.bf16.toFixed(0)} GF/s in bf16 (1024 x 1024 x 1024)`],
    ["model", `${diagnosis.model.file}${diagnosis.model.there ? "" : " (missing)"}`],
    ...diagnosis.advice.map((text) => ["advice", text]),
  ];
  return lines.map(([name = "", text = ""]) => `${name.padEnd(10)} ${text}\n`).join("");
};
