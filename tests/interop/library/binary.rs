//! Typed reads and writes with Python's `struct`, in both byte orders.

use super::{connect, preconnection};
use crate::peer::{Peer, run};
use portway::framer::ByteOrder;
use portway::{BinaryReader, BinaryWriter, Security};
use std::error::Error;

/// Packs values in the order that it is told, reads them back, and answers what it has read.
const SERVER: &str = r#"
import socket, struct, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print("listening at 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
peer = peer.makefile("rwb")
for order in "><":
    values = (200, -2, 51966, -300, 3735928559, -70000, 2**63 + 5, -2**40, 0.5, -1.0e300)
    layout = order + "BbHhIiQqfd"
    peer.write(struct.pack(layout, *values))
    name = "grüß".encode()
    peer.write(struct.pack(order + "H", len(name)) + name)
    peer.flush()
    read = struct.unpack(layout, peer.read(struct.calcsize(layout)))
    count, = struct.unpack(order + "I", peer.read(4))
    print("read", read == values, peer.read(count).decode(), flush=True)
peer.write(b"\x00\x00\x00\x08half")
peer.flush()
"#;

#[test]
fn typed_reads_and_writes_agree_with_pythons_struct() {
    run(async {
        let test = "typed_reads_and_writes_agree_with_pythons_struct";
        let Some(mut peer) = Peer::start(test, "python3", &["-c", SERVER]) else {
            return;
        };
        let address = peer.address_after("listening at ").await;
        let connection = connect(&preconnection(Security::disabled()), address).await;
        let (mut reader, mut writer) = (connection.binary_reader(), connection.binary_writer());
        for order in [ByteOrder::Big, ByteOrder::Little] {
            reader.set_byte_order(order);
            writer.set_byte_order(order);
            mirror(&mut reader, &mut writer).await.expect("all values");
            assert_eq!(peer.after("read ").await, "True naïve", "{order:?}");
        }
        reader.set_byte_order(ByteOrder::Big);
        let error = reader.read_prefixed::<u32>().await.expect_err("half of it");
        assert_eq!(error.to_string(), "the stream ends after 8 of 12 bytes");
        let (connection, unconsumed) = reader.detach();
        assert_eq!(&unconsumed[..], b"\0\0\0\x08half");
        drop(connection);
        assert!(peer.end().await.success());
    });
}

/// Reads each value, checks it, and writes it back.
async fn mirror(
    reader: &mut BinaryReader,
    writer: &mut BinaryWriter,
) -> Result<(), Box<dyn Error>> {
    macro_rules! mirror {
        ($($read:ident $write:ident $value:expr;)*) => {$(
            let value = reader.$read().await?;
            assert_eq!(value, $value);
            writer.$write(value)?;
        )*};
    }
    mirror! {
        read_u8 write_u8 200;
        read_i8 write_i8 -2;
        read_u16 write_u16 51_966;
        read_i16 write_i16 -300;
        read_u32 write_u32 3_735_928_559;
        read_i32 write_i32 -70_000;
        read_u64 write_u64 (1 << 63) + 5;
        read_i64 write_i64 -(1 << 40);
        read_f32 write_f32 0.5;
        read_f64 write_f64 -1.0e300;
    }
    assert_eq!(reader.read_prefixed_string::<u16>().await?, "grüß");
    writer.write_prefixed_str::<u32>("naïve")?;
    writer.flush().await?;
    Ok(())
}
