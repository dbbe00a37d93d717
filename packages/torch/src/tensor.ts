/** The Tensor: a handle to native memory with the customary methods; see ops.generated.ts for every operator. */
import { MahaloError } from "./error.ts";
import { type DType, type Handle, native } from "./native.ts";
import * as ops from "./ops.generated.ts";
import { adopt, disown } from "./scope.ts";

/** Typed arrays a tensor can be made of or read into. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | BigInt64Array;

type Description = { dtype: DType; device: string; bytes: number; shape: readonly number[] };

/**
 * A tensor of libtorch.
 *
 * Native memory is freed by {@link scope}, by {@link Tensor.dispose}, or, for tensors made outside any scope, when the
 * garbage collector finds the object unreachable. Methods throw MahaloErrors (`E_TORCH...`) that name operator and shapes.
 */
export class Tensor {
  /** Native handle; 0 once freed. */
  handle: Handle;
  #description: Description | undefined;

  /** Wraps a native handle; use {@link tensor} or an operator to make one. */
  constructor(handle: Handle) {
    this.handle = handle;
    adopt(this);
  }

  #describe(): Description {
    if (this.#description === undefined) {
      const [dtype, device, , , bytes, ...shape] = native.describe(this.handle);
      this.#description = { dtype, device, bytes, shape };
    }
    return this.#description;
  }

  get dtype(): DType {
    return this.#describe().dtype;
  }
  get device(): string {
    return this.#describe().device;
  }
  /** Sizes of the dimensions. */
  get shape(): readonly number[] {
    return this.#describe().shape;
  }
  /** Bytes of the storage behind this tensor, shared by its views. */
  get bytes(): number {
    return this.#describe().bytes;
  }
  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
  /** Size of dimension `dim`; negative counts from the end. */
  size(dim: number): number {
    const size = this.shape.at(dim);
    if (size === undefined)
      throw new MahaloError("E_TORCH_ARGUMENT", `size(${dim}): tensor has shape [${this.shape}]`);
    return size;
  }
  get requiresGrad(): boolean {
    return native.describe(this.handle)[2];
  }
  set requiresGrad(on: boolean) {
    native.setRequiresGrad(this.handle, on);
  }
  get isLeaf(): boolean {
    return native.describe(this.handle)[3];
  }
  get isContiguous(): boolean {
    return native.isContiguous(this.handle);
  }
  /** Equal for tensors that share memory. */
  get storageId(): number {
    return native.storageId(this.handle);
  }
  get freed(): boolean {
    return this.handle === 0;
  }
  /** The gradient accumulated by `backward`, or null; every read makes a new handle to the same memory. */
  get grad(): Tensor | null {
    const handle = native.gradientOf(this.handle);
    return handle === null ? null : new Tensor(handle);
  }
  set grad(gradient: Tensor | null) {
    native.setGradient(this.handle, gradient === null ? null : gradient.handle);
  }

  /** Reads shape and dtype anew, after an operator has resized this tensor; `out=` operators call it themselves. */
  refresh(): this {
    this.#description = undefined;
    return this;
  }

  /** Frees this reference now; a second call does nothing. Views and saved tensors of autograd stay valid. */
  dispose(): void {
    if (this.handle === 0) return;
    disown(this);
    this.handle = 0;
  }

  /** The one element as a number; throws when there are more, or where an int64 is beyond 2^53. */
  item(): number {
    return native.item(this.handle);
  }
  /** Contents as 32-bit floats, row-major, converted when the dtype differs. */
  toFloat32Array(): Float32Array {
    return this.#read("float32", new Float32Array(this.numel));
  }
  /**
   * Contents as 32-bit integers, such as token ids; fractions are cut off.
   *
   * @throws MahaloError `E_TORCH_ARGUMENT` where an int64 does not fit
   */
  toInt32Array(): Int32Array {
    if (this.dtype !== "int64") return this.#read("int32", new Int32Array(this.numel));
    const words = new Int32Array(2 * this.numel);
    native.toBytes(this.handle, words);
    const halves = new DataView(words.buffer);
    const result = new Int32Array(this.numel);
    for (let i = 0; i < result.length; i += 1) {
      // Little-endian halves; the high one of a number that fits repeats the sign of the low one.
      const low = halves.getInt32(8 * i, true);
      if (halves.getInt32(8 * i + 4, true) !== low >> 31) {
        throw new MahaloError("E_TORCH_ARGUMENT", `toInt32Array: element ${i} does not fit 32 bits`, {
          hint: "read int64 contents with toTypedArray()",
        });
      }
      result[i] = low;
    }
    return result;
  }
  /** Contents bit for bit; float16 and bfloat16 come as Uint16Array, int64 as BigInt64Array, bool as Uint8Array. */
  toTypedArray(): TypedArray {
    const into = new ARRAYS[this.dtype](this.numel);
    native.toBytes(this.handle, into);
    return into;
  }
  #read<A extends TypedArray>(dtype: DType, into: A): A {
    if (this.dtype === dtype) {
      native.toBytes(this.handle, into);
      return into;
    }
    const converted = this.to(dtype);
    native.toBytes(converted.handle, into);
    converted.dispose();
    return into;
  }

  /** This tensor as another dtype or on another device; itself (a new reference) when nothing changes. */
  to(target: DType | { dtype?: DType; device?: string }): Tensor {
    const { dtype, device } = typeof target === "string" ? { dtype: target, device: undefined } : target;
    if (device !== undefined && device !== this.device) {
      return ops.toDevice(this, device, dtype ?? this.dtype);
    }
    return ops.toDtype(this, dtype ?? this.dtype);
  }
  detach(): Tensor {
    return ops.detach(this);
  }
  clone(): Tensor {
    return ops.clone(this);
  }
  contiguous(): Tensor {
    return ops.contiguous(this);
  }

  add(other: Tensor | number): Tensor {
    return typeof other === "number" ? ops.addScalar(this, other) : ops.add(this, other);
  }
  sub(other: Tensor | number): Tensor {
    return typeof other === "number" ? ops.subScalar(this, other) : ops.sub(this, other);
  }
  mul(other: Tensor | number): Tensor {
    return typeof other === "number" ? ops.mulScalar(this, other) : ops.mul(this, other);
  }
  div(other: Tensor | number): Tensor {
    return typeof other === "number" ? ops.divScalar(this, other) : ops.div(this, other);
  }
  matmul(other: Tensor): Tensor {
    return ops.matmul(this, other);
  }
  /** Transpose of a matrix. */
  t(): Tensor {
    return ops.t(this);
  }
  transpose(dim0: number, dim1: number): Tensor {
    return ops.transpose(this, dim0, dim1);
  }
  view(...shape: number[]): Tensor {
    return ops.view(this, shape);
  }
  reshape(...shape: number[]): Tensor {
    return ops.reshape(this, shape);
  }
  unsqueeze(dim: number): Tensor {
    return ops.unsqueeze(this, dim);
  }
  squeeze(dim: number): Tensor {
    return ops.squeeze(this, dim);
  }
  /** Elements `start` to `start + length - 1` along `dim`, as a view. */
  narrow(dim: number, start: number, length: number): Tensor {
    return ops.narrow(this, dim, start, length);
  }
  indexSelect(dim: number, index: Tensor): Tensor {
    return ops.indexSelect(this, dim, index);
  }
  sum(dim?: number | readonly number[], keepdim = false): Tensor {
    return dim === undefined
      ? ops.sum(this)
      : ops.sumDim(this, typeof dim === "number" ? [dim] : dim, keepdim);
  }
  mean(dim?: number | readonly number[], keepdim = false): Tensor {
    return dim === undefined
      ? ops.mean(this)
      : ops.meanDim(this, typeof dim === "number" ? [dim] : dim, keepdim);
  }
  softmax(dim: number): Tensor {
    return ops.softmax(this, dim);
  }
  logSoftmax(dim: number): Tensor {
    return ops.logSoftmax(this, dim);
  }
  argmax(dim: number): Tensor {
    return ops.argmax(this, dim);
  }
  copy_(source: Tensor): this {
    ops.copy_(this, source);
    return this;
  }
  zero_(): this {
    ops.zero_(this);
    return this;
  }
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const satisfies Record<DType, unknown>;

/** Bytes of one element. */
export const elementBytes = (dtype: DType): number => ARRAYS[dtype].BYTES_PER_ELEMENT;

const natural = (data: TypedArray): DType => {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Float64Array) return "float64";
  if (data instanceof Int8Array) return "int8";
  if (data instanceof Uint8Array) return "uint8";
  if (data instanceof Int16Array) return "int16";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof BigInt64Array) return "int64";
  if (data instanceof Uint16Array) {
    throw new MahaloError("E_TORCH_ARGUMENT", "a Uint16Array holds float16 or bfloat16 bits: name its dtype");
  }
  const kind = Object.prototype.toString.call(data).slice(8, -1);
  throw new MahaloError(
    "E_TORCH_ARGUMENT",
    `tensor() takes no ${kind}; its dtypes have no such kind of array`,
  );
};

/** Least and largest value of the integer dtypes; int64 is bounded by what a JavaScript number holds exactly. */
const RANGES: { readonly [dtype in DType]?: readonly [number, number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32_768, 32_767],
  int32: [-2_147_483_648, 2_147_483_647],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** Plain numbers as an array that loses nothing which their dtype can hold; integers are checked, not wrapped. */
const arrayOf = (numbers: readonly number[], dtype: DType): TypedArray => {
  const range = RANGES[dtype];
  if (range === undefined)
    return dtype === "float64" ? Float64Array.from(numbers) : Float32Array.from(numbers);
  for (const [i, value] of numbers.entries()) {
    if (Number.isInteger(value) && value >= range[0] && value <= range[1]) continue;
    throw new MahaloError(
      "E_TORCH_ARGUMENT",
      `tensor(): element ${i} is ${value}, which ${dtype} cannot hold`,
      {
        hint: "round it first, or choose a floating dtype",
      },
    );
  }
  return dtype === "int64" ? BigInt64Array.from(numbers, BigInt) : Int32Array.from(numbers);
};

/** How {@link tensor} reads its data. */
export type TensorOptions = {
  /** Sizes; by default one dimension that fits. */
  shape?: readonly number[];
  /** By default the array's own type; float32 for plain numbers. */
  dtype?: DType;
  device?: string;
  requiresGrad?: boolean;
};

/**
 * Makes a tensor of a typed array (copied) or of plain numbers.
 *
 * Bits are taken as they are where the array's element is as wide as the dtype and of its kind (Uint16Array for
 * float16 and bfloat16); otherwise values are converted. For bool, any byte but 0 is true. Plain numbers that an
 * integer dtype cannot hold are an error (`E_TORCH_ARGUMENT`), as are contents that do not fill the shape.
 *
 * @example
 * const x_BD = tensor([1, 2, 3, 4], { shape: [2, 2], requiresGrad: true });
 */
export const tensor = (data: TypedArray | readonly number[], options: TensorOptions = {}): Tensor => {
  const array = ArrayBuffer.isView(data) ? data : arrayOf(data, options.dtype ?? "float32");
  const shape = options.shape ?? [array.length];
  const raw =
    (array instanceof Uint16Array && (options.dtype === "float16" || options.dtype === "bfloat16")) ||
    (array instanceof Uint8Array && options.dtype === "bool");
  const dtype = raw && options.dtype ? options.dtype : natural(array);
  const target = { dtype: options.dtype ?? dtype, device: options.device ?? "cpu" };
  const copied = new Tensor(native.fromBytes(array, dtype, shape));
  let result = copied;
  try {
    if (target.dtype !== dtype || target.device !== "cpu") result = copied.to(target);
    if (options.requiresGrad) result.requiresGrad = true;
    return result;
  } catch (error) {
    // No integer requires a gradient, and a device may be missing; what was made by then goes at once.
    result.dispose();
    throw error;
  } finally {
    if (result !== copied) copied.dispose();
  }
};
