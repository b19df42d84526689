// 16-bit floating point: IEEE half precision and bfloat16, to and from single precision, rounding to
// the nearest value and ties to even as PyTorch does.

/** IEEE half precision (one number per 16 bits) to single precision; exact. */
export function float16ToFloat32(half: Uint16Array): Float32Array {
  const out = new Float32Array(half.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < half.length; i++) {
    const h = half[i]!;
    const sign = (h & 0x8000) << 16;
    const exponent = (h >> 10) & 31;
    const mantissa = h & 0x3ff;
    if (exponent === 0) {
      // Zero and subnormals are multiples of 2^-24; the sign bit is kept for -0.
      out[i] = mantissa * 2 ** -24;
      bits[i] = bits[i]! | sign;
    } else {
      const wide = exponent === 31 ? 0x7f800000 : (exponent + 112) << 23;
      bits[i] = sign | wide | (mantissa << 13);
    }
  }
  return out;
}

/** Single precision to IEEE half precision; beyond 65,504 the result is infinite, NaN stays NaN. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    const x = bits[i]!;
    const sign = (x >>> 16) & 0x8000;
    const magnitude = x & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      out[i] = sign | 0x7e00 | ((magnitude >> 13) & 0x3ff);
    } else if (magnitude >= 0x477ff000) {
      out[i] = sign | 0x7c00; // 65,520 and more
    } else if (magnitude >= 0x38800000) {
      const shifted = magnitude - 0x38000000; // exponent bias 127 to 15
      out[i] = sign | ((shifted + 0xfff + ((shifted >> 13) & 1)) >> 13);
    } else if (magnitude <= 0x33000000) {
      out[i] = sign; // 2^-25 and less
    } else {
      const shift = 126 - (magnitude >> 23);
      const mantissa = (magnitude & 0x7fffff) | 0x800000;
      const whole = mantissa >> shift;
      const rest = mantissa & ((1 << shift) - 1);
      const tie = 1 << (shift - 1);
      out[i] = sign | (whole + (rest > tie || (rest === tie && whole & 1) ? 1 : 0));
    }
  }
  return out;
}

/** bfloat16 (one number per 16 bits) to single precision; exact. */
export function bfloat16ToFloat32(half: Uint16Array): Float32Array {
  const out = new Float32Array(half.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < half.length; i++) bits[i] = half[i]! << 16;
  return out;
}

/** Single precision to bfloat16; NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    const x = bits[i]!;
    const notANumber = (x & 0x7fffffff) > 0x7f800000;
    out[i] = notANumber ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}
