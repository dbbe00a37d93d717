/** Opens a .gguf file as a model source. */
import { closeSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import { checkRegular } from "@mahalo/torch";
import { fileError } from "../../core/files.ts";
import { chatTemplate, defaultChatTemplate } from "../../data/tokens/chat-template.ts";
import { toHuggingFace } from "../folder/config.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import type { ModelSource } from "../folder/model-source.ts";
import { checkTokenizerConfig, openTokenizer, specialTokenTexts } from "../tokenizer/tokenizer.ts";
import { configFromGguf } from "./config.ts";
import { type ByteSource, ggufError } from "./cursor.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";
import { ggufTensors, loadGgufTensor } from "./tensors.ts";
import { tokenizerFromGguf } from "./tokenizer.ts";

/** A file as a {@link ByteSource}; opened anew for every read, so there is nothing to close. */
export const fileSource = (path: string): ByteSource => {
  let size: number;
  try {
    size = checkRegular(path).size;
  } catch (error) {
    throw fileError("E_FILE_READ", "read", path, error);
  }
  return {
    path,
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      let fd: number;
      try {
        fd = openSync(path, "r");
      } catch (error) {
        throw fileError("E_FILE_READ", "read", path, error);
      }
      try {
        for (let done = 0; done < length; ) {
          const count = readSync(fd, bytes, done, length - done, offset + done);
          if (count === 0) throw ggufError(path, `the file ended at byte ${offset + done} while it was read`);
          done += count;
        }
      } finally {
        closeSync(fd);
      }
      return bytes;
    },
  };
};

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const checkTokenIds = (header: GgufHeader, config: ModelConfig): void => {
  for (const id of [config.bosId, config.padId, ...config.eosIds]) {
    if (id === undefined || (Number.isInteger(id) && id >= 0 && id < config.vocabSize)) continue;
    throw ggufError(header.path, `token id ${id} is outside the vocabulary of ${config.vocabSize}`);
  }
};

/**
 * A model out of a .gguf file: weights dequantised, tokenizer and chat template from the metadata.
 *
 * @throws MahaloError E_FILE_READ, E_GGUF, E_GGUF_METADATA, E_GGUF_TENSOR, E_GGUF_TOKENIZER, E_CONFIG_UNSUPPORTED
 */
export const openGguf = (path: string): ModelSource => {
  const source = fileSource(path);
  const header = readGgufHeader(source);
  const config = configFromGguf(header, (tensor) => loadGgufTensor(source, tensor));
  checkTokenIds(header, config);
  const { tokenizer: tokenizerJson, tokenizerConfig, chatTemplate: text } = tokenizerFromGguf(header);
  const names = checkTokenizerConfig(tokenizerConfig, path);
  const template = chatTemplate(text ?? defaultChatTemplate, {
    where: basename(path),
    tokens: specialTokenTexts(names),
  });
  return {
    origin: path,
    config,
    tokenizer: openTokenizer(tokenizerJson, names, {
      where: path,
      vocabSize: config.vocabSize,
      eosIds: config.eosIds,
    }),
    template,
    tensors: () => ggufTensors(source, header, config),
    generation: {},
    files: new Map([
      ["config.json", asJson(toHuggingFace(config))],
      ["tokenizer.json", asJson(tokenizerJson)],
      ["tokenizer_config.json", asJson(tokenizerConfig)],
      ["chat_template.jinja", template.text],
      [
        "generation_config.json",
        asJson({ bos_token_id: config.bosId, eos_token_id: config.eosIds, pad_token_id: config.padId }),
      ],
    ]),
  };
};
