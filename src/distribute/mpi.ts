// Open MPI or MPICH through their C interface, found at run time. Collectives are the non-blocking ones, as
// promises: the engine, the data threads and the heartbeat go on while ranks wait for each other.

import { cpus } from "node:os";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../errors.js";

/** What MPI sends: bytes or 32-bit floats, at most 2^31 - 1 of them. */
export type Buffer = Uint8Array | Float32Array;

/** A binary interface of MPI: which libraries have it, and what its constants are. */
interface Interface {
  readonly name: string;
  /** File names of the library: that of Debian's and Ubuntu's package, then others. */
  readonly files: readonly string[];
  readonly packages: string;
  /** `MPI_IN_PLACE` and `MPI_STATUS_IGNORE`. */
  readonly inPlace: bigint;
  readonly ignore: bigint | null;
  /** `MPI_COMM_WORLD`, `MPI_FLOAT` and `MPI_BYTE`: symbols to take the address of, or numbers. */
  readonly handles: Record<"world" | "float" | "byte", string | bigint>;
}

const OPEN_MPI: Interface = {
  name: "Open MPI",
  files: ["libmpi.so.40", "libmpi.so", "libmpi.40.dylib", "libmpi.dylib"],
  packages: "apt-get install libopenmpi3 openmpi-bin",
  inPlace: 1n,
  ignore: null,
  handles: { world: "ompi_mpi_comm_world", float: "ompi_mpi_float", byte: "ompi_mpi_byte" },
};

/**
 * The interface that MPICH, Intel MPI, MVAPICH and Cray's MPI share. Its handles are C's `int`: as numbers of
 * 64 bits they lie in the same registers and, on little-endian machines, at the same addresses.
 */
const MPICH: Interface = {
  name: "MPICH",
  files: ["libmpich.so.12", "libmpi.so.12", "libmpi.12.dylib"],
  packages: "apt-get install libmpich12 mpich",
  inPlace: 2n ** 64n - 1n,
  ignore: 1n,
  handles: { world: 0x44000000n, float: 0x4c00040an, byte: 0x4c00010dn },
};

/**
 * Milliseconds for which a wait asks without rest; then it asks once a millisecond. Data move only when MPI is
 * asked, so resting costs time where each rank has a core; where ranks share cores, asking takes that of others.
 */
const EAGER = localRanks(process.env) > cpus().length ? 2 : 100;
type Pointer = bigint | Buffer | BigUint64Array | Int32Array | null;

/** The functions in use, as Open MPI declares them: its handles are pointers. */
const FUNCTIONS = {
  MPI_Init: "int MPI_Init(void *argc, void *argv)",
  MPI_Finalize: "int MPI_Finalize()",
  MPI_Abort: "int MPI_Abort(void *comm, int code)",
  MPI_Comm_rank: "int MPI_Comm_rank(void *comm, void *rank)",
  MPI_Comm_size: "int MPI_Comm_size(void *comm, void *size)",
  MPI_Comm_dup: "int MPI_Comm_dup(void *comm, void *copy)",
  MPI_Ialltoall:
    "int MPI_Ialltoall(void *from, int each, void *type, void *to, int same, void *alike, void *comm, void *request)",
  MPI_Iallgather:
    "int MPI_Iallgather(void *from, int count, void *type, void *to, int each, void *same, void *comm, void *request)",
  MPI_Ibcast:
    "int MPI_Ibcast(void *data, int count, void *type, int root, void *comm, void *request)",
  MPI_Ibarrier: "int MPI_Ibarrier(void *comm, void *request)",
  MPI_Isend:
    "int MPI_Isend(void *data, int count, void *type, int to, int tag, void *comm, void *request)",
  MPI_Irecv:
    "int MPI_Irecv(void *data, int count, void *type, int from, int tag, void *comm, void *request)",
  MPI_Test: "int MPI_Test(void *request, void *flag, void *status)",
  MPI_Cancel: "int MPI_Cancel(void *request)",
  MPI_Request_free: "int MPI_Request_free(void *request)",
} as const;

interface Library {
  call(name: keyof typeof FUNCTIONS, ...args: (Pointer | number)[]): void;
  world: bigint;
  float: bigint;
  byte: bigint;
  inPlace: bigint;
  ignore: bigint | null;
}

/** An operation under way. Its buffers stay where they are until it is done. */
export interface Request {
  /** Asks once; true from the moment on when it is done. */
  done(): boolean;
  /** Gives an operation up that may never be done. */
  cancel(): void;
}

/** A group of ranks that exchange in the same order; several groups of the same ranks do not meet. */
export class Communicator {
  readonly rank: number;
  readonly size: number;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly library: Library,
    private readonly handle: bigint,
  ) {
    const value = new Int32Array(1);
    library.call("MPI_Comm_rank", handle, value);
    this.rank = value[0]!;
    library.call("MPI_Comm_size", handle, value);
    this.size = value[0]!;
  }

  /** The same ranks as a group of their own, for exchanges that run beside this one's. All ranks call it. */
  duplicate(): Communicator {
    const copy = new BigUint64Array(1);
    this.library.call("MPI_Comm_dup", this.handle, copy);
    return new Communicator(this.library, copy[0]!);
  }

  /**
   * Adds up over all ranks, in place, in the order of the ranks: every rank gets the same bits, and they are
   * those of one process that adds the same numbers up one after the other. MPI's own sum promises neither.
   * Each rank adds up one block and gives it to all: what passes through its network card is the least that
   * any method sends.
   *
   * @param data a multiple of `size` numbers, or they are copied
   */
  sum(data: Float32Array): Promise<void> {
    const block = Math.ceil(data.length / this.size);
    return this.inTurn(async () => {
      if (block * this.size === data.length) return this.sumBlocks(data, block);
      const padded = new Float32Array(block * this.size);
      padded.set(data);
      await this.sumBlocks(padded, block);
      data.set(padded.subarray(0, data.length));
    });
  }

  /** Fills `data`, of which this rank has filled its own block (number `rank` of `size` equal ones). */
  gather(data: Buffer): Promise<void> {
    return this.inTurn(() => this.gatherBlocks(data));
  }

  /** What each rank gives, in their order: plain JSON. */
  gatherJson<Value>(value: Value): Promise<Value[]> {
    return this.inTurn(async () => {
      const { rank, size } = this;
      const own = new TextEncoder().encode(JSON.stringify(value) ?? "null");
      const lengths = new Uint32Array(size).fill(own.length, rank, rank + 1);
      await this.gatherBlocks(new Uint8Array(lengths.buffer));
      const longest = Math.max(...lengths);
      const all = new Uint8Array(size * longest);
      all.set(own, rank * longest);
      await this.gatherBlocks(all);
      return Array.from(lengths, (length, i) => {
        const text = new TextDecoder().decode(all.subarray(i * longest, i * longest + length));
        return JSON.parse(text) as Value;
      });
    });
  }

  /** Gives every rank what rank 0 has in `data`. */
  broadcast(data: Buffer): Promise<void> {
    const type = this.typeOf(data);
    return this.inTurn(() => this.collective([data], "MPI_Ibcast", data, data.length, type, 0));
  }

  /** Waits until all ranks have come here. */
  barrier(): Promise<void> {
    return this.inTurn(() => this.collective([], "MPI_Ibarrier"));
  }

  send(data: Buffer, to: number, tag: number): Request {
    const args = [data, data.length, this.typeOf(data), to, tag];
    return this.start([data], "MPI_Isend", ...args);
  }

  receive(data: Buffer, from: number, tag: number): Request {
    const args = [data, data.length, this.typeOf(data), from, tag];
    return this.start([data], "MPI_Irecv", ...args);
  }

  /** Ends all ranks, this one at once. */
  abort(code: number): void {
    this.library.call("MPI_Abort", this.handle, code);
  }

  /** Ends MPI in this process; all ranks call it. */
  finalize(): void {
    this.library.call("MPI_Finalize");
  }

  /** One exchange at a time, in the order of the calls: MPI wants the same order on every rank. */
  private inTurn<Value>(exchange: () => Promise<Value>): Promise<Value> {
    const result = this.last.then(exchange);
    this.last = result.catch(() => {});
    return result;
  }

  private async sumBlocks(data: Float32Array, block: number): Promise<void> {
    const blocks = new Float32Array(data.length);
    const { float } = this.library;
    const held = [data, blocks];
    await this.collective(held, "MPI_Ialltoall", data, block, float, blocks, block, float);
    const own = data.subarray(this.rank * block, (this.rank + 1) * block);
    own.set(blocks.subarray(0, block));
    for (let rank = 1; rank < this.size; rank++) {
      const from = rank * block;
      for (let i = 0; i < block; i++) own[i]! += blocks[from + i]!;
    }
    await this.gatherBlocks(data);
  }

  private gatherBlocks(data: Buffer): Promise<void> {
    const type = this.typeOf(data);
    const each = data.length / this.size;
    return this.collective(
      [data],
      "MPI_Iallgather",
      this.library.inPlace,
      0,
      type,
      data,
      each,
      type,
    );
  }

  private typeOf(data: Buffer): bigint {
    return data instanceof Float32Array ? this.library.float : this.library.byte;
  }

  private start(
    buffers: readonly Buffer[],
    name: keyof typeof FUNCTIONS,
    ...args: (Pointer | number)[]
  ): Request {
    const request = new BigUint64Array(1);
    const flag = new Int32Array(1);
    const { library } = this;
    library.call(name, ...args, this.handle, request);
    // MPI writes into memory that JavaScript must not free meanwhile.
    const held = { buffers, request };
    underWay.add(held);
    return {
      done() {
        if (flag[0] === 0) {
          library.call("MPI_Test", request, flag, library.ignore);
          if (flag[0] !== 0) underWay.delete(held);
        }
        return flag[0] !== 0;
      },
      cancel() {
        if (this.done()) return;
        library.call("MPI_Cancel", request);
        library.call("MPI_Request_free", request);
      },
    };
  }

  private async collective(
    buffers: readonly Buffer[],
    name: keyof typeof FUNCTIONS,
    ...args: (Pointer | number)[]
  ): Promise<void> {
    const request = this.start(buffers, name, ...args);
    const began = performance.now();
    while (!request.done()) {
      if (performance.now() - began < EAGER) await setImmediate();
      else await sleep(1);
    }
  }
}

/** Buffers and requests of operations that are not done. */
const underWay = new Set<object>();

/** The interface whose launcher has started this process as one of several ranks, and their number. */
function launcher(env: NodeJS.ProcessEnv): { mpi: Interface; size: string } | undefined {
  const open = env.OMPI_COMM_WORLD_SIZE ?? (env.PMIX_RANK === undefined ? "" : env.SLURM_NTASKS);
  if (open) return { mpi: OPEN_MPI, size: open };
  return env.PMI_SIZE ? { mpi: MPICH, size: env.PMI_SIZE } : undefined;
}

/**
 * Ranks that a launcher says it has started, this one among them; 1 where there is none. Open MPI's
 * `mpirun`, or Slurm's `srun --mpi=pmix`; MPICH's `mpiexec`, or `srun --mpi=pmi2`.
 */
export function launchedRanks(env: NodeJS.ProcessEnv): number {
  return Math.max(1, Number.parseInt(launcher(env)?.size ?? "1", 10) || 1);
}

/** Ranks that the launcher says it has started on this machine; 1 where it does not say. */
export function localRanks(env: NodeJS.ProcessEnv): number {
  const size =
    env.OMPI_COMM_WORLD_LOCAL_SIZE ?? env.MPI_LOCALNRANKS ?? env.SLURM_NTASKS_PER_NODE ?? "1";
  return Math.max(1, Number.parseInt(size, 10) || 1);
}

/**
 * Starts MPI in this process, once, and gives the group of all ranks.
 *
 * @throws InputError where the launcher's MPI or koffi is not installed
 */
export async function startMpi(): Promise<Communicator> {
  const { mpi, size } = launcher(process.env) ?? { mpi: OPEN_MPI, size: "1" };
  const library = await loadLibrary(mpi);
  library.call("MPI_Init", null, null);
  const group = new Communicator(library, library.world);
  if (`${group.size}` === size) return group;
  // As when one MPI's launcher meets another's library: each rank would take itself for the only one.
  throw new InputError(
    `MPI: the launcher started ${size} ranks, but ${mpi.name}'s library sees ${group.size}; ` +
      "use the mpirun that belongs to the library",
  );
}

async function loadLibrary(mpi: Interface): Promise<Library> {
  const { default: koffi } = await import("koffi").catch(() => {
    throw new InputError("MPI: the package koffi is not installed; run `npm install koffi`");
  });
  const handle = firstOf(mpi.files, (name) => koffi.load(name, { global: true }));
  if (!handle) {
    throw new InputError(
      `MPI: this process was started as one of several ranks, but ${mpi.name}'s library (${mpi.files[0]}) ` +
        `cannot be loaded; install it on every machine: ${mpi.packages}`,
    );
  }
  const functions = new Map<string, (...args: unknown[]) => number>();
  for (const [name, declaration] of Object.entries(FUNCTIONS)) {
    functions.set(name, handle.func(declaration) as (...args: unknown[]) => number);
  }
  const handleOf = (name: keyof Interface["handles"]) => {
    const value = mpi.handles[name];
    return typeof value === "bigint" ? value : koffi.address(handle.symbol(value));
  };
  return {
    call(name, ...args) {
      const code = functions.get(name)?.(...args);
      if (code !== 0) throw new Error(`${name} failed with code ${code}`);
    },
    world: handleOf("world"),
    float: handleOf("float"),
    byte: handleOf("byte"),
    inPlace: mpi.inPlace,
    ignore: mpi.ignore,
  };
}

/** The first attempt that does not fail. */
function firstOf<Item, Result>(
  items: readonly Item[],
  attempt: (item: Item) => Result,
): Result | undefined {
  for (const item of items) {
    try {
      return attempt(item);
    } catch {
      // The next one, then.
    }
  }
  return undefined;
}
