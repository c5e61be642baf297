//! Every format with every codec: a line each.

use std::fmt::Write as _;

/// A delivery.
pub struct Written {
    pub name: &'static str,
    pub format: &'static str,
    /// Its other settings.
    pub settings: &'static str,
    pub extension: &'static str,
}

const fn written(
    name: &'static str,
    format: &'static str,
    settings: &'static str,
    extension: &'static str,
) -> Written {
    Written { name, format, settings, extension }
}

pub const FORMATS: [Written; 19] = [
    written("json_gzip", "json", "compression = \"gzip\"\ncompression_level = 6", ".json.gz"),
    written("json_zstd", "json", "compression = \"zstd\"", ".json.zst"),
    written("json_snappy", "json", "compression = \"snappy\"", ".json.sz"),
    written("json_hadoop_snappy", "json", "compression = \"hadoop_snappy\"", ".json.snappy"),
    written("json_none", "json", "compression = \"none\"", ".json"),
    written("json_envelope", "json", "compression = \"zstd\"\nenvelope = true", ".json.zst"),
    written("parquet_none", "parquet", "compression = \"none\"", ".parquet"),
    written("parquet_snappy", "parquet", "", ".parquet"),
    written("parquet_zstd", "parquet", "compression = \"zstd\"\ncompression_level = 9", ".parquet"),
    written("parquet_gzip", "parquet", "compression = \"gzip\"", ".parquet"),
    written("parquet_lz4", "parquet", "compression = \"lz4\"", ".parquet"),
    written(
        "parquet_layout",
        "parquet",
        "sort_by = [\"-text\", \"i16\"]\nbloom_filters = [\"text\", \"tags\", \"attrs.key\"]",
        ".parquet",
    ),
    written("orc_none", "orc", "compression = \"none\"", ".orc"),
    written("orc_snappy", "orc", "", ".orc"),
    written("orc_zlib", "orc", "compression = \"zlib\"\ncompression_level = 6", ".orc"),
    written("orc_zstd", "orc", "compression = \"zstd\"", ".orc"),
    written("orc_lz4", "orc", "compression = \"lz4\"", ".orc"),
    written("orc_stride", "orc", "row_index_stride = 100", ".orc"),
    written("orc_bloom", "orc", "bloom_filters = [\"id\", \"text\"]\nrow_index_stride = 1000", ".orc"),
];

impl Written {
    /// Whether its settings go with whatever columns there are.
    pub fn is_for_all_columns(&self) -> bool {
        !self.settings.contains('[')
    }
}

/// A delivery each, into `lake/NAME`, with `lines` in all of them.
pub fn deliveries<'a>(written: impl IntoIterator<Item = &'a Written>, lines: &str) -> String {
    let mut config = String::new();
    for Written { name, format, settings, .. } in written {
        write!(
            config,
            "\n[[delivery]]\nname = \"{name}\"\nsink = {{ path = \"lake/{name}\" }}\nformat = \"{format}\"\n{settings}\n{lines}\n"
        )
        .unwrap();
    }
    config
}
