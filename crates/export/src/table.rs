//! Parquet: typed columns out of JSON items.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::schema::{Kind, Schema, Value};

/// About how many bytes of values are in memory before they are written as a row group.
pub const ROW_GROUP_MAX_BYTES: usize = 32 << 20;
/// What a value counts for beside its text.
const VALUE_BYTES: usize = 10;
/// The column of all that has none, or does not fit its own.
pub(crate) const REST: &str = "_rest";

/// Writes items of one schema to one file.
pub(crate) struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    schema: Arc<Schema>,
    /// One for each column, and `_rest`.
    columns: Vec<Column>,
    bytes: usize,
}

/// Values of a column that wait for their row group, and for each row whether there is one.
struct Column {
    values: Values,
    levels: Vec<i16>,
}

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl<W: Write + Send> Table<W> {
    pub(crate) fn new(out: W, schema: Arc<Schema>, zstd: bool) -> Result<Self, ParquetError> {
        let compression = if zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::SNAPPY };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(parquet_schema(&schema)?), Arc::new(properties))?;
        let kinds = schema.kinds.iter().copied().chain([Kind::Json]);
        let columns = kinds.map(Column::new).collect();
        Ok(Self { file, schema, columns, bytes: 0 })
    }

    pub(crate) fn item(&mut self, item: &[u8]) -> Result<(), ParquetError> {
        let (row, rest) = self.schema.row(item);
        for (column, value) in
            self.columns.iter_mut().zip(row.into_iter().chain([rest.map_or(Value::Null, Value::Text)]))
        {
            self.bytes += VALUE_BYTES + if let Value::Text(text) = &value { text.len() } else { 0 };
            column.push(value);
        }
        if self.bytes >= ROW_GROUP_MAX_BYTES { self.write_group() } else { Ok(()) }
    }

    /// Bytes in the file, and those that wait.
    pub(crate) fn bytes(&self) -> u64 {
        (self.file.bytes_written() + self.bytes) as u64
    }

    pub(crate) fn finish(mut self) -> Result<W, ParquetError> {
        if self.bytes > 0 {
            self.write_group()?;
        }
        self.file.into_inner()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = std::mem::take(&mut column.levels);
            match &mut column.values {
                Values::Bool(values) => {
                    writer.typed::<BoolType>().write_batch(&std::mem::take(values), Some(&levels), None)?
                }
                Values::Int(values) => {
                    writer.typed::<Int64Type>().write_batch(&std::mem::take(values), Some(&levels), None)?
                }
                Values::Double(values) => {
                    writer.typed::<DoubleType>().write_batch(&std::mem::take(values), Some(&levels), None)?
                }
                Values::Text(values) => {
                    writer.typed::<ByteArrayType>().write_batch(&std::mem::take(values), Some(&levels), None)?
                }
            };
            writer.close()?;
        }
        group.close()?;
        self.bytes = 0;
        Ok(())
    }
}

impl Column {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Int => Values::Int(Vec::new()),
            Kind::Double => Values::Double(Vec::new()),
            Kind::Text | Kind::Json => Values::Text(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    fn push(&mut self, value: Value) {
        match (&mut self.values, value) {
            (Values::Bool(values), Value::Bool(value)) => values.push(value),
            (Values::Int(values), Value::Int(value)) => values.push(value),
            (Values::Double(values), Value::Double(value)) => values.push(value),
            (Values::Text(values), Value::Text(value)) => values.push(ByteArray::from(value.into_bytes())),
            _ => return self.levels.push(0),
        }
        self.levels.push(1);
    }
}

fn parquet_schema(schema: &Schema) -> Result<Type, ParquetError> {
    let named = schema.names.iter().map(String::as_str).zip(schema.kinds.iter().copied());
    let fields = named.chain([(REST, Kind::Json)]).map(|(name, kind)| {
        let (physical, logical) = match kind {
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Int => (Physical::INT64, None),
            Kind::Double => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        Ok(Arc::new(field.with_logical_type(logical).build()?))
    });
    Type::group_type_builder("items").with_fields(fields.collect::<Result<_, ParquetError>>()?).build()
}
