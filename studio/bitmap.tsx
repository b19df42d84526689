// A canvas that shows a bitmap of the painter without copying it.

import type { CSSProperties } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  bitmap: ImageBitmap | undefined;
  class: string;
  hidden?: boolean;
  style?: CSSProperties;
}

export function Bitmap({ bitmap, hidden, ...rest }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (!bitmap || !canvas.current || bitmap.width === 0) return;
    canvas.current.width = bitmap.width;
    canvas.current.height = bitmap.height;
    canvas.current.getContext("bitmaprenderer")?.transferFromImageBitmap(bitmap);
  }, [bitmap]);
  return <canvas ref={canvas} hidden={hidden || !bitmap} {...rest} />;
}
