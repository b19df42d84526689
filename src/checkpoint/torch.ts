// PyTorch's checkpoint files (`pytorch_model.bin`, `.pth`): the ZIP container, the older container of
// concatenated pickles, and a writer of the former. Reading runs no code of the file.

import { CheckpointError } from "../errors.js";
import { BYTES_PER_ELEMENT, elementCount } from "./dtypes.js";
import { Op, PickleGlobal, PickleObject, type PickleValue, readPickle } from "./pickle.js";
import { quote } from "./quote.js";
import type { StoredTensor, TensorDType, TensorMap } from "./tensors.js";
import { isZip, openZip, zipChunks } from "./zip.js";

export interface TorchFile {
  /** The model's state dictionary, contiguous; views into the file's bytes where possible. */
  tensors: TensorMap;
  /** The training configuration stored beside the weights, as plain data; undefined if there is none. */
  config: unknown;
}

const STORAGE_DTYPES: Readonly<Record<string, TensorDType>> = {
  "torch.DoubleStorage": "F64",
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** Where trainers put the state dictionary in a checkpoint; the authors' have "model". */
const STATE_DICT_KEYS = ["model", "state_dict", "model_state_dict"];

const MAX_DIMENSIONS = 64;
/** The container before PyTorch 1.6 begins with a pickle of this number. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
/** What that pickle begins with: PROTO 2, LONG1 of 10 bytes. */
const LEGACY_START = [0x80, 2, 0x8a, 10];

/** Whether the bytes begin like a file of `torch.save`, or another pickle. */
export function isTorch(bytes: Uint8Array): boolean {
  // Byte 8 of a safetensors file, after the header's length, is "{".
  return isZip(bytes) || (bytes[0] === 0x80 && bytes[1]! <= 5 && bytes[8] !== 0x7b);
}

/** A flat array of numbers in the file, named by the pickle. */
class Storage {
  constructor(
    readonly key: string,
    /** "torch.FloatStorage" */
    readonly type: string,
    readonly elements: number,
  ) {}

  /** @throws CheckpointError when the elements are of an unsupported type */
  get dtype(): TensorDType {
    if (Object.hasOwn(STORAGE_DTYPES, this.type)) return STORAGE_DTYPES[this.type]!;
    throw new CheckpointError(
      `The PyTorch checkpoint's storage of type ${quote(this.type)} is not supported; ` +
        "save the weights as float32, float16 or bfloat16",
    );
  }
}

/** A strided view of a storage. */
class TensorView {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

/**
 * Reads the weights of a file that `torch.save` wrote: a state dictionary, or a checkpoint that holds
 * one under "model", "state_dict" or "model_state_dict". A "module." before every name is removed.
 *
 * @param bytes the file; contiguous tensors returned are views into it
 * @throws CheckpointError for a damaged or hostile file, or one that holds no weights
 */
export async function readTorch(bytes: Uint8Array): Promise<TorchFile> {
  const { root, read } = isZip(bytes) ? await openContainer(bytes) : openLegacy(bytes);
  // Tensors may share a storage or repeat its elements: together they must not outgrow the file.
  let budget = 16 * bytes.byteLength;
  const tensors: TensorMap = new Map();
  for (const [name, view] of stateDict(root)) {
    budget -= elementCount(view.shape) * BYTES_PER_ELEMENT[view.storage.dtype];
    if (budget < 0) throw damaged(`expands tensor ${quote(name)} far beyond the file's own size`);
    tensors.set(name, materialise(view, await read(view.storage)));
  }
  const config = root instanceof Map ? plain(root.get("config")) : undefined;
  return { tensors: withoutModulePrefix(tensors), config };
}

interface Container {
  root: PickleValue;
  /** The bytes of a storage: exactly its elements. */
  read(storage: Storage): Promise<Uint8Array>;
}

async function openContainer(bytes: Uint8Array): Promise<Container> {
  const archive = openZip(bytes);
  const pickleName = archive.names.find((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickleName === undefined) {
    throw damaged("is a ZIP archive without data.pkl, so no file of torch.save");
  }
  const prefix = pickleName.slice(0, -"data.pkl".length);
  if (archive.names.includes(`${prefix}byteorder`)) {
    const order = new TextDecoder().decode(await archive.read(`${prefix}byteorder`));
    if (order.trim() !== "little") throw bigEndian();
  }
  const { root } = readRoot(await archive.read(pickleName));
  const cache = new Map<string, Uint8Array>();
  return {
    root,
    async read(storage) {
      const data = cache.get(storage.key) ?? (await archive.read(`${prefix}data/${storage.key}`));
      checkLength(storage, data.byteLength);
      cache.set(storage.key, data);
      return data;
    },
  };
}

function openLegacy(bytes: Uint8Array): Container {
  if (!LEGACY_START.every((byte, i) => bytes[i] === byte)) {
    throw new CheckpointError(
      "The checkpoint is no file of torch.save: it begins with neither of PyTorch's containers; " +
        "give a .safetensors, .bin or .pth file of model weights",
    );
  }
  const magic = readPickle(bytes);
  if (magic.value !== LEGACY_MAGIC) throw damaged("begins with a wrong magic number");
  const version = readPickle(bytes, {}, magic.end);
  const system = readPickle(bytes, {}, version.end);
  if (version.value !== 1001) throw damaged("has an unknown version of the older container");
  if (system.value instanceof Map && system.value.get("little_endian") === false) throw bigEndian();

  const { root, storages, end } = readRoot(bytes, system.end);
  const keys = readPickle(bytes, {}, end);
  if (!Array.isArray(keys.value)) throw damaged("lacks the list of its storages");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = new Map<string, Uint8Array>();
  let offset = keys.end;
  for (const key of keys.value) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined || data.has(storage.key)) {
      throw damaged("lists a storage twice, or one that no tensor uses");
    }
    if (offset + 8 > bytes.byteLength) throw damaged("is cut short");
    const size = BYTES_PER_ELEMENT[storage.dtype];
    checkLength(storage, Number(view.getBigInt64(offset, true)) * size);
    const begin = offset + 8;
    offset = begin + storage.elements * size;
    if (offset > bytes.byteLength) throw damaged("is cut short");
    data.set(storage.key, bytes.subarray(begin, offset));
  }
  return {
    root,
    async read(storage) {
      const found = data.get(storage.key);
      if (found === undefined) throw damaged(`lacks the data of storage ${quote(storage.key)}`);
      return found;
    },
  };
}

/** Reads the pickle that describes the tensors, and collects the storages it refers to. */
function readRoot(
  bytes: Uint8Array,
  start = 0,
): { root: PickleValue; storages: Map<string, Storage>; end: number } {
  const storages = new Map<string, Storage>();
  const persistent = (id: PickleValue): PickleValue => {
    const storage = readStorage(id);
    const known = storages.get(storage.key);
    if (known === undefined) {
      storages.set(storage.key, storage);
      return storage;
    }
    if (known.type !== storage.type || known.elements !== storage.elements) {
      throw damaged(`describes the storage ${quote(storage.key)} in two ways`);
    }
    return known;
  };
  const { value, end } = readPickle(bytes, { call: rebuild, persistent }, start);
  return { root: value, storages, end };
}

/** ("storage", type, key, device, elements[, view]) */
function readStorage(id: PickleValue): Storage {
  if (!Array.isArray(id) || id[0] !== "storage" || !(id[1] instanceof PickleGlobal)) {
    throw damaged("refers to data that is no storage");
  }
  const [, type, key, , elements, view] = id as [string, PickleGlobal, ...PickleValue[]];
  if (typeof key !== "string" || !isCount(elements) || (view ?? null) !== null) {
    throw damaged("has a storage of unknown form");
  }
  return new Storage(key, type.name, elements);
}

function checkLength(storage: Storage, bytes: number): void {
  const expected = storage.elements * BYTES_PER_ELEMENT[storage.dtype];
  if (bytes !== expected) {
    throw damaged(`has ${bytes} bytes in storage ${quote(storage.key)} instead of ${expected}`);
  }
}

/** The meaning of the few functions that make tensors; everything else stays inert. */
function rebuild(name: string, args: PickleValue[]): PickleValue | undefined {
  switch (name) {
    case "torch._utils._rebuild_tensor":
    case "torch._utils._rebuild_tensor_v2":
      return tensorView(args);
    case "torch._utils._rebuild_parameter":
    case "torch._utils._rebuild_parameter_with_state":
      return args[0] instanceof TensorView ? args[0] : undefined;
    case "torch._tensor._rebuild_from_type_v2": {
      // (function, type, its arguments, state): tensors of a subclass or with attributes.
      const [make, , inner] = args;
      const isTensor =
        make instanceof PickleGlobal && make.name === "torch._utils._rebuild_tensor_v2";
      return isTensor && Array.isArray(inner) ? tensorView(inner) : undefined;
    }
    case "torch.Size":
      return Array.isArray(args[0]) ? args[0] : undefined;
    default:
      return undefined;
  }
}

/** (storage, offset, shape, strides, ...), bounds-checked. */
function tensorView(args: PickleValue[]): TensorView {
  const [storage, offset, shape, strides] = args;
  if (
    !(storage instanceof Storage) ||
    !isCount(offset) ||
    !isCounts(shape) ||
    !isCounts(strides) ||
    shape.length !== strides.length
  ) {
    throw damaged("has a tensor of unknown form");
  }
  if (elementCount(shape, "A tensor of the checkpoint") > 0) {
    let last = offset;
    for (const [i, size] of shape.entries()) last += (size - 1) * strides[i]!;
    if (last >= storage.elements) {
      throw damaged(
        `has a tensor that reaches element ${last} of a storage of ${storage.elements} elements`,
      );
    }
  }
  return new TensorView(storage, offset, shape, strides);
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isCount);
}

/** The named tensors of a state dictionary, wherever the file keeps it. */
function stateDict(root: PickleValue): Map<string, TensorView> {
  if (root instanceof Map) {
    for (const found of [root, ...STATE_DICT_KEYS.map((key) => root.get(key))]) {
      if (!(found instanceof Map)) continue;
      const views = new Map<string, TensorView>();
      for (const [name, value] of found) {
        if (typeof name !== "string") continue;
        if (value instanceof TensorView) views.set(name, value);
        else refuseUnknownTensor(name, value);
      }
      if (views.size > 0) return views;
    }
  }
  const what = root instanceof PickleObject ? "a whole Python object" : "no named tensors";
  throw new CheckpointError(
    `The checkpoint holds ${what}; save the model's state_dict: torch.save(model.state_dict(), path)`,
  );
}

/** Quantised, sparse and other tensors are made by functions that have no meaning here. */
function refuseUnknownTensor(name: string, value: PickleValue): void {
  if (!(value instanceof PickleObject && value.type instanceof PickleGlobal)) return;
  if (!value.type.name.startsWith("torch._")) return;
  throw new CheckpointError(
    `The PyTorch checkpoint's tensor ${quote(name)} is made by ${quote(value.type.name)}, which is ` +
      "not supported; save the weights as plain float32, float16 or bfloat16",
  );
}

/** The view's elements in row-major order, without a copy where they lie so already. */
function materialise(
  { offset, shape, strides, storage }: TensorView,
  data: Uint8Array,
): StoredTensor {
  const { dtype } = storage;
  const size = BYTES_PER_ELEMENT[dtype];
  const count = elementCount(shape);
  if (count === 0) return { dtype, shape, bytes: new Uint8Array(0) };
  let expected = 1;
  let contiguous = true;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) contiguous = false;
    expected *= shape[i]!;
  }
  if (contiguous) {
    return { dtype, shape, bytes: data.subarray(offset * size, (offset + count) * size) };
  }

  const out = new Uint8Array(count * size);
  const index = new Array<number>(shape.length).fill(0);
  let source = offset;
  for (let element = 0; element < count; element++) {
    for (let byte = 0; byte < size; byte++) {
      out[element * size + byte] = data[source * size + byte]!;
    }
    // Counts up like an odometer, the last dimension first.
    for (let i = shape.length - 1; i >= 0; i--) {
      source += strides[i]!;
      index[i]!++;
      if (index[i]! < shape[i]!) break;
      source -= shape[i]! * strides[i]!;
      index[i] = 0;
    }
  }
  return { dtype, shape, bytes: out };
}

/** Models trained on several devices store every name with "module." in front. */
function withoutModulePrefix(tensors: TensorMap): TensorMap {
  const prefix = "module.";
  for (const name of tensors.keys()) if (!name.startsWith(prefix)) return tensors;
  return new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

const MAX_CONFIG_NODES = 10_000;
const MAX_CONFIG_DEPTH = 32;

/**
 * A pickled configuration as plain data: dictionaries become objects, OmegaConf's containers and nodes
 * their contents, whatever else is no data is left out.
 */
function plain(value: PickleValue | undefined): unknown {
  let nodes = 0;
  const visit = (item: PickleValue | undefined, depth: number): unknown => {
    nodes++;
    if (nodes > MAX_CONFIG_NODES || depth > MAX_CONFIG_DEPTH) return undefined;
    if (item === null || ["boolean", "number", "string"].includes(typeof item)) return item;
    if (Array.isArray(item)) {
      const list: unknown[] = [];
      for (const child of item) {
        if (nodes > MAX_CONFIG_NODES) break;
        list.push(visit(child, depth + 1));
      }
      return list;
    }
    if (item instanceof Map) {
      const entries: [string, unknown][] = [];
      for (const [key, child] of item) {
        if (nodes > MAX_CONFIG_NODES) break;
        if (typeof key === "string") entries.push([key, visit(child, depth + 1)]);
      }
      return Object.fromEntries(entries);
    }
    if (item instanceof PickleObject && item.state instanceof Map) {
      const content = item.state.get("_content") ?? item.state.get("_val");
      return content === undefined ? undefined : visit(content, depth + 1);
    }
    return undefined;
  };
  return visit(value, 0);
}

/** What a checkpoint for PyTorch can hold. */
export type TorchValue =
  | null
  | boolean
  | number
  | string
  | StoredTensor
  | readonly TorchValue[]
  | ReadonlyMap<string, TorchValue>;

/**
 * The pieces of a file that `torch.load` reads: a dictionary of tensors (a `pytorch_model.bin`), or
 * dictionaries in a dictionary (the authors' `.pth`). The tensors' own bytes are not copied.
 *
 * @example torchChunks(tensors) // pytorch_model.bin
 * @example torchChunks(new Map([["model", tensors], ["epoch", 29]])) // the authors' layout
 * @param archive the folder inside the archive; PyTorch uses the file's name without its extension
 */
export function torchChunks(
  value: ReadonlyMap<string, TorchValue>,
  archive = "archive",
): Uint8Array[] {
  const pickle = new PickleWriter();
  const storages = pickle.write(value);
  const encoder = new TextEncoder();
  return zipChunks([
    [`${archive}/data.pkl`, pickle.bytes()],
    [`${archive}/byteorder`, encoder.encode("little")],
    ...storages.map((bytes, i): [string, Uint8Array] => [`${archive}/data/${i}`, bytes]),
    [`${archive}/version`, encoder.encode("3\n")],
  ]);
}

const STORAGE_NAMES = new Map(
  Object.entries(STORAGE_DTYPES).map(([name, dtype]) => [dtype, name.replace("torch.", "torch\n")]),
);

/** Writes protocol 2, the one torch.save uses. */
class PickleWriter {
  private buffer = new Uint8Array(1 << 16);
  private length = 0;
  private readonly storages: Uint8Array[] = [];
  private readonly encoder = new TextEncoder();

  write(value: TorchValue): Uint8Array[] {
    this.put(Op.PROTO, 2);
    this.value(value);
    this.put(Op.STOP);
    return this.storages;
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  private value(value: TorchValue): void {
    if (value === null) this.put(Op.NONE);
    else if (typeof value === "boolean") this.put(value ? Op.NEWTRUE : Op.NEWFALSE);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "string") this.text(value);
    else if (value instanceof Map) this.dictionary(value);
    else if (Array.isArray(value)) {
      this.put(Op.EMPTY_LIST, Op.MARK);
      for (const item of value) this.value(item);
      this.put(Op.APPENDS);
    } else this.tensor(value as StoredTensor);
  }

  private dictionary(value: ReadonlyMap<string, TorchValue>): void {
    this.global("collections\nOrderedDict");
    this.put(Op.EMPTY_TUPLE, Op.REDUCE, Op.MARK);
    for (const [key, item] of value) {
      this.text(key);
      this.value(item);
    }
    this.put(Op.SETITEMS);
  }

  private tensor({ dtype, shape, bytes }: StoredTensor): void {
    const elements = elementCount(shape);
    if (elements * BYTES_PER_ELEMENT[dtype] !== bytes.byteLength) {
      throw new CheckpointError(
        `A tensor cannot be written: ${bytes.byteLength} bytes do not fit ${dtype} ` +
          `[${shape.join(", ")}]; mend the tensor`,
      );
    }
    const strides = shape.map((_, i) => elementCount(shape.slice(i + 1)));
    this.global("torch._utils\n_rebuild_tensor_v2");
    this.put(Op.MARK, Op.MARK);
    this.text("storage");
    this.global(STORAGE_NAMES.get(dtype)!);
    this.text(String(this.storages.length));
    this.text("cpu");
    this.number(elements);
    this.put(Op.TUPLE, Op.BINPERSID);
    this.number(0);
    for (const numbers of [shape, strides]) {
      this.put(Op.MARK);
      for (const item of numbers) this.number(item);
      this.put(Op.TUPLE);
    }
    this.put(Op.NEWFALSE); // requires_grad
    this.global("collections\nOrderedDict"); // backward hooks
    this.put(Op.EMPTY_TUPLE, Op.REDUCE, Op.TUPLE, Op.REDUCE);
    this.storages.push(bytes);
  }

  private number(value: number): void {
    const whole = Number.isSafeInteger(value) && !Object.is(value, -0);
    const scratch = new DataView(new ArrayBuffer(8));
    if (whole && value === (value | 0)) {
      scratch.setInt32(0, value, true);
      this.put(Op.BININT, ...new Uint8Array(scratch.buffer, 0, 4));
    } else if (whole) {
      scratch.setBigInt64(0, BigInt(value), true);
      this.put(Op.LONG1, 8, ...new Uint8Array(scratch.buffer));
    } else {
      scratch.setFloat64(0, value, false);
      this.put(Op.BINFLOAT, ...new Uint8Array(scratch.buffer));
    }
  }

  private text(value: string): void {
    const bytes = this.encoder.encode(value);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.byteLength, true);
    this.put(Op.BINUNICODE, ...length);
    this.append(bytes);
  }

  /** "module\nname" */
  private global(name: string): void {
    this.put(Op.GLOBAL);
    this.append(this.encoder.encode(`${name}\n`));
  }

  private put(...bytes: number[]): void {
    this.append(bytes);
  }

  private append(bytes: ArrayLike<number>): void {
    const end = this.length + bytes.length;
    if (end > this.buffer.byteLength) {
      const grown = new Uint8Array(2 * end);
      grown.set(this.buffer);
      this.buffer = grown;
    }
    this.buffer.set(bytes, this.length);
    this.length = end;
  }
}

function bigEndian(): CheckpointError {
  return new CheckpointError(
    "The checkpoint was written on a big-endian machine; save it again on a little-endian one",
  );
}

function damaged(fault: string): CheckpointError {
  return new CheckpointError(
    `The PyTorch checkpoint ${fault}; it is damaged: download or save it again`,
  );
}
