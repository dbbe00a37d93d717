/** Shape checks for kernels that libtorch calls behind a checked operator, and that read out of bounds without them. */
import { MahaloError } from "./error.ts";
import type { Tensor } from "./tensor.ts";

const shapeText = ({ dtype, shape }: Tensor): string => `${dtype}[${shape.join(", ")}]`;

/**
 * Query [B, H, T, E] and key and value [B, H, S, E]: the same rows, heads and width, for blocked attention on the CPU.
 *
 * @throws MahaloError `E_TORCH_ARGUMENT`
 */
export const checkAttention = (query: Tensor, key: Tensor, value: Tensor): void => {
  const [rows, heads, , width, ...rest] = query.shape;
  const fits = ({ shape }: Tensor): boolean =>
    shape.length === 4 && shape[0] === rows && shape[1] === heads && shape[3] === width;
  if (rest.length === 0 && fits(query) && fits(key) && fits(value) && key.shape[2] === value.shape[2]) return;
  const shapes = [query, key, value].map(shapeText).join(", ");
  throw new MahaloError(
    "E_TORCH_ARGUMENT",
    `flash attention(${shapes}): rows, heads and widths must be equal`,
    {
      hint: "expand key and value to the heads of the query, or use scaledDotProductAttention with enableGqa",
    },
  );
};
