// A reader for Python's pickle format (protocols 0 to 5) that builds plain data and never calls
// anything: classes and functions named in a pickle become inert placeholders. What a few of them mean
// (PyTorch's tensors) is decided by the handlers that the caller passes in.

import { CheckpointError } from "../errors.js";

/** Python's None, bool, int, float, str, bytes, tuple or list, dict, set, and placeholders. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleGlobal
  | PickleObject
  | object;

/** The name of a Python class or function. It is only a name: nothing is looked up or called. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** What Python would have made by calling `type` with `args`; here only the recipe, kept as data. */
export class PickleObject {
  state: PickleValue = null;
  readonly items: PickleValue[] = [];

  constructor(
    readonly type: PickleValue,
    readonly args: PickleValue,
  ) {}
}

export interface PickleHandlers {
  /** The meaning of calling the function `name` ("module.function"), or undefined to keep it inert. */
  call?(name: string, args: PickleValue[]): PickleValue | undefined;
  /** The object behind a persistent id. */
  persistent?(id: PickleValue): PickleValue;
}

/** Operation codes, named as Python's `pickletools` names them. */
export const Op = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  FLOAT: 0x46,
  BINFLOAT: 0x47,
  INT: 0x49,
  BININT: 0x4a,
  BININT1: 0x4b,
  LONG: 0x4c,
  BININT2: 0x4d,
  NONE: 0x4e,
  PERSID: 0x50,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  STRING: 0x53,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  UNICODE: 0x56,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  DICT: 0x64,
  APPENDS: 0x65,
  GET: 0x67,
  BINGET: 0x68,
  INST: 0x69,
  LONG_BINGET: 0x6a,
  LIST: 0x6c,
  OBJ: 0x6f,
  PUT: 0x70,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  LONG4: 0x8b,
  SHORT_BINUNICODE: 0x8c,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  FROZENSET: 0x91,
  NEWOBJ_EX: 0x92,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
  BYTEARRAY8: 0x96,
} as const;

/** Generous for weights (GroupViT needs 60 KB), small enough that the worst pickle costs a second and 1 GB. */
const MAX_PICKLE_BYTES = 64 << 20;
const MAX_STEPS = 1_000_000;
const MAX_NESTING = 10_000;
const MAX_INTEGER_BYTES = 256;

/**
 * Reads one pickle.
 *
 * The result may be deep, shared and cyclic: whoever walks it bounds the walk.
 *
 * @param bytes holds the pickle from `start` on; what follows it is not looked at
 * @returns the value, and the offset after the pickle
 * @throws CheckpointError for a damaged pickle, or one that asks for more than a checkpoint needs
 */
export function readPickle(
  bytes: Uint8Array,
  handlers: PickleHandlers = {},
  start = 0,
): { value: PickleValue; end: number } {
  const input = new Input(bytes, start);
  const memo = new Map<number, PickleValue>();
  let stack: PickleValue[] = [];
  const marks: PickleValue[][] = [];

  const push = (value: PickleValue): void => {
    stack.push(value);
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    if (value === undefined) throw damaged("takes a value from an empty stack", input);
    return value;
  };
  /** The last `count` values, in the order in which they were pushed. */
  const popMany = (count: number): PickleValue[] => {
    if (stack.length < count) throw damaged("takes a value from an empty stack", input);
    return stack.splice(stack.length - count);
  };
  const top = (): PickleValue => {
    const value = stack.at(-1);
    if (value === undefined) throw damaged("uses an empty stack", input);
    return value;
  };
  /** The values since the last mark; the stack below it becomes current again. */
  const popMark = (): PickleValue[] => {
    const values = stack;
    const below = marks.pop();
    if (below === undefined) throw damaged("ends a list that was not begun", input);
    stack = below;
    return values;
  };
  const get = (index: number): void => {
    const value = memo.get(index);
    if (value === undefined) throw damaged(`asks for the unknown memo entry ${index}`, input);
    push(value);
  };
  const call = (type: PickleValue, args: PickleValue): PickleValue => {
    if (type instanceof PickleGlobal && Array.isArray(args)) {
      const meaning = builtIn(type.name, args) ?? handlers.call?.(type.name, args);
      if (meaning !== undefined) return meaning;
    }
    return new PickleObject(type, args);
  };
  const persistent = (id: PickleValue): PickleValue => {
    if (handlers.persistent === undefined) throw damaged("refers to data outside of it", input);
    return handlers.persistent(id);
  };

  for (let steps = 0; ; steps++) {
    if (steps > MAX_STEPS || input.offset - start > MAX_PICKLE_BYTES) {
      throw new CheckpointError(
        `The checkpoint's pickle is larger than ${MAX_STEPS} steps or ${MAX_PICKLE_BYTES} bytes; ` +
          "no GroupViT checkpoint is: save only the model's state_dict",
      );
    }
    const code = input.byte();
    switch (code) {
      case Op.PROTO: {
        const protocol = input.byte();
        if (protocol > 5) throw damaged(`has the unknown protocol ${protocol}`, input);
        break;
      }
      case Op.FRAME:
        input.skip(8); // a hint for buffering
        break;
      case Op.STOP:
        return { value: pop(), end: input.offset };

      case Op.MARK:
        if (marks.length >= MAX_NESTING) throw damaged(`nests ${MAX_NESTING} levels`, input);
        marks.push(stack);
        stack = [];
        break;
      case Op.POP:
        if (stack.length > 0) stack.pop();
        else popMark();
        break;
      case Op.POP_MARK:
        popMark();
        break;
      case Op.DUP:
        push(top());
        break;

      case Op.NONE:
        push(null);
        break;
      case Op.NEWTRUE:
        push(true);
        break;
      case Op.NEWFALSE:
        push(false);
        break;
      case Op.INT:
        push(input.decimal(true)); // also spells booleans
        break;
      case Op.LONG:
        push(input.decimal(false));
        break;
      case Op.BININT:
        push(input.int32());
        break;
      case Op.BININT1:
        push(input.byte());
        break;
      case Op.BININT2:
        push(input.uint16());
        break;
      case Op.LONG1:
        push(input.integer(input.byte()));
        break;
      case Op.LONG4:
        push(input.integer(input.uint32()));
        break;
      case Op.FLOAT:
        push(input.decimalFloat());
        break;
      case Op.BINFLOAT:
        push(input.float64());
        break;

      case Op.STRING:
        push(input.quoted());
        break;
      case Op.UNICODE:
        push(input.escaped());
        break;
      case Op.SHORT_BINSTRING:
      case Op.SHORT_BINUNICODE:
        push(input.text(input.byte()));
        break;
      case Op.BINSTRING:
      case Op.BINUNICODE:
        push(input.text(input.uint32()));
        break;
      case Op.BINUNICODE8:
        push(input.text(input.uint64()));
        break;
      case Op.SHORT_BINBYTES:
        push(input.take(input.byte()));
        break;
      case Op.BINBYTES:
        push(input.take(input.uint32()));
        break;
      case Op.BINBYTES8:
      case Op.BYTEARRAY8:
        push(input.take(input.uint64()));
        break;

      case Op.EMPTY_TUPLE:
      case Op.EMPTY_LIST:
        push([]);
        break;
      case Op.EMPTY_DICT:
        push(new Map());
        break;
      case Op.EMPTY_SET:
        push(new Set());
        break;
      case Op.TUPLE1:
        push(popMany(1));
        break;
      case Op.TUPLE2:
        push(popMany(2));
        break;
      case Op.TUPLE3:
        push(popMany(3));
        break;
      case Op.TUPLE:
      case Op.LIST:
        push(popMark());
        break;
      case Op.DICT: {
        const dict = new Map<PickleValue, PickleValue>();
        setItems(dict, popMark(), input);
        push(dict);
        break;
      }
      case Op.FROZENSET:
        push(new Set(popMark()));
        break;
      case Op.APPEND: {
        const values = popMany(1);
        append(top(), values, input);
        break;
      }
      case Op.APPENDS:
      case Op.ADDITEMS: {
        const values = popMark();
        append(top(), values, input);
        break;
      }
      case Op.SETITEM: {
        const values = popMany(2);
        setItems(top(), values, input);
        break;
      }
      case Op.SETITEMS: {
        const values = popMark();
        setItems(top(), values, input);
        break;
      }

      case Op.PUT:
        memo.set(input.lineIndex(), top());
        break;
      case Op.BINPUT:
        memo.set(input.byte(), top());
        break;
      case Op.LONG_BINPUT:
        memo.set(input.uint32(), top());
        break;
      case Op.MEMOIZE:
        memo.set(memo.size, top());
        break;
      case Op.GET:
        get(input.lineIndex());
        break;
      case Op.BINGET:
        get(input.byte());
        break;
      case Op.LONG_BINGET:
        get(input.uint32());
        break;

      case Op.GLOBAL: {
        const module = input.line();
        push(new PickleGlobal(`${module}.${input.line()}`));
        break;
      }
      case Op.STACK_GLOBAL: {
        const [module, name] = popMany(2);
        if (typeof module !== "string" || typeof name !== "string") {
          throw damaged("names a class by something else than text", input);
        }
        push(new PickleGlobal(`${module}.${name}`));
        break;
      }
      case Op.REDUCE:
      case Op.NEWOBJ: {
        const args = pop();
        push(call(pop(), args));
        break;
      }
      case Op.NEWOBJ_EX: {
        const [type, args, keywords] = popMany(3);
        const made = new PickleObject(type!, args!);
        made.items.push(keywords!);
        push(made);
        break;
      }
      case Op.INST: {
        const module = input.line();
        const type = new PickleGlobal(`${module}.${input.line()}`);
        push(call(type, popMark()));
        break;
      }
      case Op.OBJ: {
        const [type, ...args] = popMark();
        if (type === undefined) throw damaged("makes an object of no class", input);
        push(call(type, args));
        break;
      }
      case Op.BUILD: {
        const state = pop();
        const target = top();
        // Attributes of anything but a placeholder carry no weights (OrderedDict's `_metadata`).
        if (target instanceof PickleObject) target.state = state;
        break;
      }
      case Op.PERSID:
        push(persistent(input.line()));
        break;
      case Op.BINPERSID:
        push(persistent(pop()));
        break;

      default:
        throw damaged(`has the unknown operation 0x${code.toString(16)}`, input);
    }
  }
}

/** Dictionary classes; the items of a new one follow as SETITEMS. */
function builtIn(name: string, args: PickleValue[]): PickleValue | undefined {
  if (name === "collections.OrderedDict" && args.length === 0) return new Map();
  if (name === "collections.defaultdict" && args.length <= 1) return new Map();
  return undefined;
}

function append(target: PickleValue, values: PickleValue[], input: Input): void {
  if (Array.isArray(target)) for (const value of values) target.push(value);
  else if (target instanceof Set) for (const value of values) target.add(value);
  else if (target instanceof PickleObject) for (const value of values) target.items.push(value);
  else throw damaged("appends to what is no list", input);
}

function setItems(target: PickleValue, values: PickleValue[], input: Input): void {
  if (values.length % 2 !== 0) throw damaged("has a key without a value", input);
  if (target instanceof Map) {
    for (let i = 0; i < values.length; i += 2) target.set(values[i]!, values[i + 1]!);
  } else if (target instanceof PickleObject) {
    for (const value of values) target.items.push(value);
  } else {
    throw damaged("sets an item of what is no dictionary", input);
  }
}

/** Bounds-checked little-endian reading. */
class Input {
  private readonly view: DataView;
  private readonly utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(
    private readonly bytes: Uint8Array,
    public offset: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Moves on by `length` bytes and returns where they began. */
  skip(length: number): number {
    const begin = this.offset;
    if (length > this.bytes.byteLength - begin) throw damaged("is cut short", this);
    this.offset = begin + length;
    return begin;
  }

  byte(): number {
    return this.bytes[this.skip(1)]!;
  }

  uint16(): number {
    return this.view.getUint16(this.skip(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.skip(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.skip(4), true);
  }

  uint64(): number {
    return Number(this.view.getBigUint64(this.skip(8), true));
  }

  float64(): number {
    return this.view.getFloat64(this.skip(8), false);
  }

  take(length: number): Uint8Array {
    const begin = this.skip(length);
    return this.bytes.subarray(begin, begin + length);
  }

  text(length: number): string {
    return this.utf8.decode(this.take(length));
  }

  /** A little-endian two's complement integer. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw damaged(`has an integer of ${length} bytes`, this);
    let value = 0n;
    const bytes = this.take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return narrow(BigInt.asIntN(8 * length, value));
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.offset);
    if (end === -1) throw damaged("is cut short", this);
    const text = this.text(end - this.offset);
    this.offset = end + 1;
    return text;
  }

  lineIndex(): number {
    const line = this.line();
    if (!/^\d{1,10}$/.test(line)) throw damaged("has a memo index that is no number", this);
    return Number(line);
  }

  decimal(booleans: boolean): number | bigint | boolean {
    const line = this.line();
    if (booleans && line === "00") return false;
    if (booleans && line === "01") return true;
    const digits = /^([+-]?\d+)L?$/.exec(line)?.[1];
    if (digits === undefined || digits.length > 2 * MAX_INTEGER_BYTES) {
      throw damaged("has an integer that is no number", this);
    }
    return narrow(BigInt(digits.replace("+", "")));
  }

  decimalFloat(): number {
    const line = this.line();
    const special = /^([+-]?)(inf|nan)$/i.exec(line);
    if (special !== null) {
      if (special[2]!.toLowerCase() === "nan") return Number.NaN;
      return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    }
    const value = Number(line);
    if (line.trim() === "" || Number.isNaN(value)) throw damaged("has a float that is none", this);
    return value;
  }

  /** A Python 2 string literal; the few escapes that names can have. */
  quoted(): string {
    const literal = /^(['"])(.*)\1$/.exec(this.line())?.[2];
    if (literal === undefined) throw damaged("has a string without quotes", this);
    return literal.replace(/\\(x[\da-fA-F]{2}|.)/g, (_, code: string) => {
      if (code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
      return { n: "\n", r: "\r", t: "\t" }[code] ?? code;
    });
  }

  /** A line in Python's raw-unicode-escape encoding: Latin-1, with \u and \U escapes. */
  escaped(): string {
    const end = this.bytes.indexOf(0x0a, this.offset);
    if (end === -1) throw damaged("is cut short", this);
    const latin1 = new TextDecoder("latin1").decode(this.bytes.subarray(this.offset, end));
    this.offset = end + 1;
    return latin1.replace(/\\u([\da-fA-F]{4})|\\U([\da-fA-F]{8})/g, (whole, short, long) => {
      const code = Number.parseInt(short ?? long, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function damaged(fault: string, input: Input): CheckpointError {
  return new CheckpointError(
    `The checkpoint's pickle ${fault} (byte ${input.offset}); it is damaged or no weights: ` +
      "download or save it again",
  );
}
