//! Pixels → PNG (ISO/IEC 15948): signature, then the chunks IHDR, IDAT and IEND, each with its length and CRC-32.

use std::io::{self, Write};

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::bitmap::Bitmap;

/// 8 bits a sample, red, green and blue, and the only methods that there are.
const KIND: [u8; 5] = [8, 2, 0, 0, 0];

/// The file's bytes.
pub fn encode(bitmap: &Bitmap) -> io::Result<Vec<u8>> {
    let (width, rgb) = bitmap.rows();
    let height = rgb.len() / (width * 3);
    let mut header = Vec::with_capacity(13);
    for side in [width, height] {
        let side = u32::try_from(side).map_err(|_| io::Error::other("a picture of 2^32 pixels"))?;
        header.extend_from_slice(&side.to_be_bytes());
    }
    header.extend_from_slice(&KIND);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(6));
    for row in rgb.chunks(width * 3) {
        // Filter 0: the bytes as they are.
        packed.write_all(&[0])?;
        packed.write_all(row)?;
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", packed.finish()?), (b"IEND", vec![])] {
        let length = u32::try_from(data.len()).map_err(|_| io::Error::other("a picture of 4 GiB"))?;
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(&data);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(kind);
        file.extend_from_slice(&data);
        file.extend_from_slice(&crc.sum().to_be_bytes());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::super::{Canvas, Color};
    use super::*;

    #[test]
    fn the_pixels_are_in_the_file() {
        let mut bitmap = Bitmap::new(3, 2);
        bitmap.fill((1.0, 0.0), (2.0, 1.0), Color(1, 2, 3));
        let file = encode(&bitmap).unwrap();
        assert_eq!(&file[..16], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
        // CRC-32 of the chunk "IEND" without data.
        assert_eq!(&file[file.len() - 4..], [0xae, 0x42, 0x60, 0x82]);
        let start = file.windows(4).position(|part| part == b"IDAT").unwrap() + 4;
        let mut rows = Vec::new();
        ZlibDecoder::new(&file[start..]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows[..10], [0, 255, 255, 255, 1, 2, 3, 255, 255, 255]);
        assert_eq!(rows[10..], [0, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
    }
}
