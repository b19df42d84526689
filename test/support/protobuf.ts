// Reads protobuf messages without a schema, to look into written ONNX files.

export interface ParsedMessage {
  /** Messages of a repeated field. */
  all(field: number): ParsedMessage[];
  /** The message of a field that must be there. */
  one(field: number): ParsedMessage;
  text(field: number): string | undefined;
  integer(field: number): number | undefined;
}

export function parseMessage(bytes: Uint8Array): ParsedMessage {
  const fields = new Map<number, (number | Uint8Array)[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error("protobuf: cut short");
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, value));
    }
  };
  const take = (length: number) => {
    if (at + length > bytes.length) throw new Error("protobuf: cut short");
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire !== 0 && wire !== 2 && wire !== 5) throw new Error(`protobuf: wire type ${wire}`);
    const value = wire === 0 ? varint() : take(wire === 2 ? varint() : 4);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  const values = (field: number) => fields.get(field) ?? [];
  return {
    all: (field) => values(field).map((value) => parseMessage(value as Uint8Array)),
    one: (field) => parseMessage(values(field)[0] as Uint8Array),
    text(field) {
      const value = values(field)[0];
      return value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined;
    },
    integer(field) {
      const value = values(field)[0];
      return typeof value === "number" ? value : undefined;
    },
  };
}
