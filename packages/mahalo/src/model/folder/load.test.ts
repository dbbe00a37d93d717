/** Loading: weights that are not what config.json speaks of are errors that name them, and heads are never the embedding. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import {
  type DType,
  noGrad,
  openSafetensors,
  ops,
  type RawTensor,
  scope,
  Tensor,
  writeSafetensors,
} from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { normal } from "../../../../torch/src/testing/compare.ts";
import { normDistance } from "../testing/gradients.ts";
import {
  hiddenOf,
  IDS,
  logitsOf,
  sequence,
  type TinyName,
  tinyFolder,
  tinyModel,
  tinyNames,
  withFolder,
} from "../testing/tiny.ts";
import { type LanguageModel, loadModel } from "./load.ts";
import { saveModel } from "./save.ts";

type Tensors = Map<string, Tensor | RawTensor>;

/** Loads a tiny model after `change` to its tensors. */
const loadChanged = (name: TinyName, change: (tensors: Tensors) => void): Promise<LanguageModel> =>
  withFolder(async (folder) => {
    const dir = join(folder, "model");
    cpSync(tinyFolder(name), dir, { recursive: true });
    const store = openSafetensors(tinyFolder(name));
    scope(() => {
      const tensors: Tensors = new Map(store.names.map((name) => [name, store.tensor(name)]));
      change(tensors);
      writeSafetensors(join(dir, "model.safetensors"), tensors);
    });
    store.close();
    return loadModel(dir);
  });

/** Changes one tensor. */
const edit =
  (name: string, make: (x: Tensor) => Tensor | RawTensor) =>
  (tensors: Tensors): void => {
    const known = tensors.get(name);
    if (!(known instanceof Tensor)) throw new Error(`${name} is not there`);
    tensors.set(name, make(known));
  };

/** Names of a model's tensors, of one layer of them. */
const namesOf = (name: TinyName): string[] => {
  const store = openSafetensors(tinyFolder(name));
  const names = [...store.names];
  store.close();
  return names.filter((name) => !/\.layers\.[^1]/.test(name));
};

describe.each(tinyNames)("weights of %s", (name) => {
  test("that lack a tensor are refused by its name", async () => {
    const names = namesOf(name);
    expect(names.length).toBeGreaterThan(9);
    for (const missing of names) {
      await expect(loadChanged(name, (all) => all.delete(missing))).rejects.toMatchObject({
        code: "E_MODEL_TENSOR_MISSING",
        exitStatus: 2,
        message: expect.stringMatching(new RegExp(`model: tensor ${missing} is missing$`)),
      });
    }
  });

  test("with a tensor of another shape are refused by its name and both shapes", async () => {
    for (const misshapen of namesOf(name)) {
      let shape: readonly number[] = [];
      const cut = edit(misshapen, (x) => {
        shape = x.shape;
        return x.narrow(0, 1, x.size(0) - 1).contiguous();
      });
      const failure = await loadChanged(name, cut).catch((error: unknown) => error);
      const [rows = 0, ...rest] = shape;
      expect(failure).toMatchObject({
        code: "E_MODEL_TENSOR_SHAPE",
        message: expect.stringContaining(
          `tensor ${misshapen} has shape [${[rows - 1, ...rest]}], config.json says [${shape}]`,
        ),
      });
    }
  });

  test("keep head and embedding apart, whatever happens to either", async () => {
    for (const compute of ["float32", "bfloat16"] as const) {
      for (const training of [true, false]) {
        const model = await tinyModel(name, { compute, training });
        const { embedding } = model.backbone.weights;
        const { base } = model.heads;
        if (training) model.heads.addNoisyCopies(["wit"], { seed: 1, std: 0.5, compute });
        const memory = (one: typeof base): number[] => [one.value.storageId, one.master?.storageId ?? -1];
        const heads = [base, ...model.heads.parameters()];
        expect(heads.flatMap(memory).filter((id) => id !== -1 && memory(embedding).includes(id))).toEqual([]);

        const hidden = (): Float32Array =>
          noGrad(() => scope(() => hiddenOf(model, sequence(IDS)).toFloat32Array()));
        const [before, head] = [hidden(), base.float().toFloat32Array()];
        noGrad(() =>
          scope(() => {
            for (const [i, head] of heads.entries()) {
              ops.add_(head.float(), normal(i, head.value.shape));
              head.syncFromMaster();
              ops.add_(head.value, normal(i, head.value.shape).to(compute));
            }
          }),
        );
        expect(normDistance(hidden(), before)).toBe(0);
        expect(normDistance(base.float().toFloat32Array(), head)).toBeGreaterThan(0.1);
        const moved = base.float().toFloat32Array();
        noGrad(() => embedding.value.zero_());
        expect(normDistance(base.float().toFloat32Array(), moved)).toBe(0);
        model.dispose();
      }
    }
  });

  test("for inference hold no masters, for training masters in float32", async () => {
    for (const compute of ["float32", "bfloat16"] as const) {
      for (const training of [true, false]) {
        const model = await tinyModel(name, { compute, training });
        for (const one of [...model.backbone.parameters(), model.heads.base]) {
          const kinds = [one.value.dtype, one.master?.dtype, one.trainable];
          expect(kinds, one.name).toEqual([compute, training ? "float32" : undefined, false]);
        }
        model.dispose();
      }
    }
  });
});

describe("tensors that config.json does not speak of", () => {
  const extra =
    (...names: string[]) =>
    (tensors: Tensors): void => {
      for (const name of names) tensors.set(name, normal(1, [64]));
    };

  test.each([
    [["model.layers.0.self_attn.q_proj.bias"], "mentions model.layers.0.self_attn.q_proj.bias"],
    [["model.layers.2.input_layernorm.weight"], "mentions model.layers.2.input_layernorm.weight"],
    [["a", "b", "c"], "mentions a, b, c"],
    [["a", "b", "c", "d", "e"], "mentions a, b, c and 2 more tensors"],
  ])("such as %j are refused", async (names, says) => {
    await expect(loadChanged("tiny-llama", extra(...names))).rejects.toMatchObject({
      code: "E_MODEL_TENSOR_UNKNOWN",
      message: expect.stringMatching(new RegExp(`${says}$`)),
      hint: expect.stringContaining("config.json"),
    });
  });

  test("are passed over where they hold what is computed from the config", async () => {
    const model = await loadChanged("tiny-llama", extra("model.layers.0.self_attn.rotary_emb.inv_freq"));
    model.dispose();
  });
});

describe("a tied model whose file holds a head", () => {
  test("has that head, as in transformers, and is no longer tied when it is saved", () =>
    withFolder(async (folder) => {
      const head = normal(3, [256, 64]);
      const model = await loadChanged("tiny-qwen3-tied", (tensors) => tensors.set("lm_head.weight", head));
      expect(normDistance(model.heads.base.value.toFloat32Array(), head.toFloat32Array())).toBe(0);
      await saveModel(model, join(folder, "saved"));
      const loaded = await loadModel(join(folder, "saved"));
      expect(loaded.config.tieEmbeddings).toBe(false);
      expect(normDistance(logitsOf(loaded, IDS), logitsOf(model, IDS))).toBe(0);
      for (const one of [model, loaded]) one.dispose();
    }));

  test("equal to the embedding stays tied", () =>
    withFolder(async (folder) => {
      const twice = (tensors: Tensors): void => {
        const embedding = tensors.get("model.embed_tokens.weight");
        if (embedding !== undefined) tensors.set("lm_head.weight", embedding);
      };
      const model = await loadChanged("tiny-qwen3-tied", twice);
      const plain = await tinyModel("tiny-qwen3-tied");
      expect(normDistance(logitsOf(model, IDS), logitsOf(plain, IDS))).toBe(0);
      await saveModel(model, join(folder, "saved"));
      expect(openSafetensors(join(folder, "saved")).names).not.toContain("lm_head.weight");
      for (const one of [model, plain]) one.dispose();
    }));
});

describe("stored types", () => {
  test.each<[DType, number]>([
    ["bfloat16", 2 ** -8],
    ["float16", 2 ** -10],
    ["float64", 0],
  ])("%s is read as float32", async (dtype, most) => {
    const model = await loadChanged("tiny-llama", (tensors) => {
      for (const name of tensors.keys()) edit(name, (x) => x.to(dtype))(tensors);
    });
    const plain = await tinyModel("tiny-llama");
    for (const [i, one] of plain.backbone.parameters().entries()) {
      const stored = one.float().to(dtype).toFloat32Array();
      const read = model.backbone.parameters()[i]?.value;
      expect(read?.dtype).toBe("float32");
      expect(normDistance(read?.toFloat32Array() ?? [], stored), one.name).toBe(0);
      expect(normDistance(stored, one.float().toFloat32Array())).toBeLessThanOrEqual(most);
    }
    for (const one of [model, plain]) one.dispose();
  });

  test("integers are refused by name and type", async () => {
    const integers = edit("model.norm.weight", (x) => x.to("int8"));
    await expect(loadChanged("tiny-llama", integers)).rejects.toMatchObject({
      code: "E_MODEL_TENSOR_DTYPE",
      message: expect.stringMatching(/tensor model\.norm\.weight is stored as I8$/),
    });
  });
});
