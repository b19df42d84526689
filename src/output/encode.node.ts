// Drawn pictures to PNG or JPEG bytes.

import sharp, { type Sharp } from "sharp";
import { InputError } from "../errors.js";
import type { Picture } from "../input/picture.js";

export type PictureFormat = "png" | "jpeg";

/** The longest side that the JPEG format can hold. */
const MAX_JPEG_SIDE = 65535;

/** Encodes a picture: PNG without loss, or JPEG of quality 92 with full colour resolution. */
export async function encodePicture(picture: Picture, format: PictureFormat): Promise<Uint8Array> {
  if (format === "jpeg" && Math.max(picture.width, picture.height) > MAX_JPEG_SIDE) {
    throw new InputError(
      `JPEG of ${picture.width} x ${picture.height}: a side has at most ${MAX_JPEG_SIDE} pixels, ` +
        "write a PNG instead.",
    );
  }
  const image = fromPicture(picture);
  return format === "png"
    ? image.png({ compressionLevel: 6 }).toBuffer()
    : image.jpeg({ quality: 92, chromaSubsampling: "4:4:4" }).toBuffer();
}

/** A picture as the start of a sharp pipeline. */
export function fromPicture({ width, height, data }: Picture): Sharp {
  return sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false });
}

/** A picture in another size, for looking at: smooth, not the byte-exact resizing of the model. */
export async function resizePicture(
  picture: Picture,
  width: number,
  height: number,
): Promise<Picture> {
  if (width === picture.width && height === picture.height) return picture;
  return toPicture(fromPicture(picture).resize({ width, height, fit: "fill", kernel: "cubic" }));
}

/** The end of a sharp pipeline as a picture. */
export async function toPicture(image: Sharp): Promise<Picture> {
  const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}
