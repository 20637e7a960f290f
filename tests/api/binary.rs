//! Numbers, texts and slices of binary protocols, read and written over connections.

use crate::support::{framed, pair, tls_pair};
use portway::framer::ByteOrder;
use portway::{
    BinaryWriter, Connection, FailureKind, MessageProperties, Preconnection, ReadError, Security,
    TlsRole, WriteError,
};
use std::time::Duration;
use tokio::io::AsyncReadExt;

async fn open_pair() -> (Connection, Connection) {
    let open = Preconnection::new(Security::disabled());
    pair(&open, &open).await
}

/// Writes bytes as they are.
async fn say(writer: &mut BinaryWriter, bytes: &[u8]) {
    writer.write_bytes(bytes).expect("there is room");
    writer.flush().await.expect("sent");
}

#[tokio::test]
async fn every_number_crosses_in_both_byte_orders() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&Preconnection::new(server), &Preconnection::new(client)).await;
    let (mut writer, mut reader) = (client.binary_writer(), server.binary_reader());
    for order in [ByteOrder::Big, ByteOrder::Little] {
        writer.set_byte_order(order);
        reader.set_byte_order(order);
        macro_rules! cross {
            ($($write:ident $read:ident $value:expr;)*) => {
                $(writer.$write($value).expect("there is room");)*
                writer.flush().await.expect("sent");
                $(assert_eq!(reader.$read().await, Ok($value), "{order:?}");)*
            };
        }
        cross! {
            write_u8 read_u8 0xfe;
            write_i8 read_i8 -2;
            write_u16 read_u16 0xfedc;
            write_i16 read_i16 i16::MIN;
            write_u32 read_u32 0xfedc_ba98;
            write_i32 read_i32 -3;
            write_u64 read_u64 u64::MAX - 1;
            write_i64 read_i64 i64::MIN;
            write_u128 read_u128 u128::MAX - 5;
            write_i128 read_i128 -7;
            write_f32 read_f32 -1.5;
            write_f64 read_f64 std::f64::consts::PI;
        }
    }
    assert_eq!(reader.unconsumed_len(), 0);
}

#[tokio::test]
async fn numbers_lie_on_the_wire_as_their_order_says() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    writer.write_u16(0x0102).expect("there is room");
    writer
        .write_prefixed_str::<u32>("é")
        .expect("there is room");
    writer.set_byte_order(ByteOrder::Little);
    writer.write_u16(0x0102).expect("there is room");
    writer.write_prefixed::<u16>(b"xyz").expect("there is room");
    let expected = b"\x01\x02\0\0\0\x02\xc3\xa9\x02\x01\x03\0xyz";
    assert_eq!(writer.unstored(), expected);
    assert_eq!(writer.store().await, Ok(expected.len()));
    assert_eq!(writer.store().await, Ok(0));
    writer.flush().await.expect("sent");
    let mut reader = server.binary_reader();
    let read = reader.read_bytes(expected.len()).await.expect("all of it");
    assert_eq!(&read[..], expected);
}

#[tokio::test]
async fn texts_and_slices_are_read_by_length_prefix_and_terminator() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    let mut reader = server.binary_reader().with_read_ahead(5);
    say(&mut writer, b"hello\x02hi\0\0\0\x03abc\xffname\0\0rest").await;
    assert_eq!(reader.read_string(5).await.as_deref(), Ok("hello"));
    let text = reader.read_prefixed_string::<u8>().await;
    assert_eq!(text.as_deref(), Ok("hi"));
    let slice = reader.read_prefixed::<u32>().await.expect("a slice");
    assert_eq!(&slice[..], b"abc");
    // What is no text stays, and can be read as something else.
    let refused = reader.read_string(2).await.expect_err("no text");
    assert!(matches!(refused, ReadError::NotText(_)), "{refused}");
    assert_eq!(refused.kind(), FailureKind::ProtocolViolation);
    assert_eq!(reader.read_u8().await, Ok(0xff));
    for expected in ["name", ""] {
        let word = reader.read_until(0).await.expect("a word");
        assert_eq!(&word[..], expected.as_bytes());
    }
    let mut rest = [0; 4];
    reader.read_into(&mut rest).await.expect("the rest");
    assert_eq!(&rest, b"rest");
}

#[tokio::test]
async fn a_short_end_says_what_is_missing_and_keeps_what_came() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    let mut reader = server.binary_reader();
    say(&mut writer, b"\0\0\0\x09abc").await;
    client.end_sending().await.expect("ended");
    for _ in 0..2 {
        let error = reader.read_prefixed::<u32>().await;
        let expected = ReadError::Ended {
            wanted: 13,
            available: 7,
        };
        assert_eq!(error, Err(expected));
    }
    assert_eq!(reader.unconsumed(), b"\0\0\0\x09abc");
    assert_eq!(reader.read_u32().await, Ok(9));
    let error = reader.read_until(0).await.expect_err("no terminator");
    assert_eq!(error.to_string(), "the stream ends after 3 of 4 bytes");
    assert_eq!(error.kind(), FailureKind::ProtocolViolation);
    let mut out = [0; 5];
    let expected = ReadError::Ended {
        wanted: 5,
        available: 3,
    };
    assert_eq!(reader.read_into(&mut out).await, Err(expected));
    assert_eq!(&out, b"abc\0\0");
    assert_eq!(reader.load_partial(10).await, Ok(0));
}

#[tokio::test]
async fn a_read_beyond_its_limit_is_refused_before_anything_is_waited_for() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    let mut reader = server.binary_reader().with_read_bytes_max(6);
    say(&mut writer, b"\xff\xff\xff\xff\xff\xff\xff\xff12345678").await;
    // A peer that claims 2^64 - 1 bytes costs nothing.
    reader.load_exact(6).await.expect("the limit itself");
    let error = reader.read_prefixed::<u32>().await;
    let (asked, max) = (u64::from(u32::MAX) + 4, 6);
    assert_eq!(error, Err(ReadError::TooLong { asked, max }));
    let error = reader.read_bytes(7).await.expect_err("too long");
    assert_eq!(error.kind(), FailureKind::LimitReached);
    let error = reader.load_partial(1).await;
    assert_eq!(error, Err(ReadError::TooLong { asked: 7, max }));
    assert_eq!(reader.unconsumed_len(), 6);
    // Into memory of the caller's own the limit says nothing.
    let mut out = [0; 12];
    reader.read_into(&mut out).await.expect("twelve bytes");
    assert_eq!(&out[8..], b"1234");
    let mut reader = reader.with_read_bytes_max(3);
    let error = reader.read_until(0).await;
    assert_eq!(error, Err(ReadError::TooLong { asked: 4, max: 3 }));
    assert_eq!(reader.unconsumed(), b"567");
}

#[tokio::test]
async fn loading_takes_an_exact_or_a_partial_minimum() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    let mut reader = server.binary_reader();
    say(&mut writer, b"123456789").await;
    reader.load_exact(3).await.expect("three bytes");
    // Nothing beyond what was asked for left the connection.
    assert_eq!(reader.unconsumed(), b"123");
    assert_eq!(reader.load_partial(4).await, Ok(4));
    assert_eq!(reader.load_partial(0).await, Ok(0));
    // So much is here already.
    reader.load_exact(7).await.expect("seven bytes");
    assert_eq!(reader.unconsumed_len(), 7);
    assert_eq!(reader.read_u8().await, Ok(b'1'));
    let mut ahead = reader.with_read_ahead(100);
    ahead.load_exact(7).await.expect("one more");
    assert_eq!(ahead.unconsumed(), b"23456789");
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    let mut reader = server.binary_reader();
    for part in [&b"\0\x05he"[..], b"ll"] {
        say(&mut writer, part).await;
        // What was sent is waited for, so that the read is dropped in the midst of it.
        let before = reader.unconsumed_len();
        reader
            .load_exact(before + part.len())
            .await
            .expect("a part");
        tokio::select! {
            biased;
            read = reader.read_prefixed_string::<u16>() => panic!("too early: {read:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(reader.unconsumed(), b"\0\x05hell");
    say(&mut writer, b"o").await;
    let text = reader.read_prefixed_string::<u16>().await;
    assert_eq!(text.as_deref(), Ok("hello"));
}

#[tokio::test]
async fn a_detached_reader_gives_back_what_it_did_not_consume() {
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    say(&mut writer, b"\x01unconsumed and later").await;
    let mut reader = server.binary_reader();
    reader.load_exact(11).await.expect("a part");
    assert_eq!(reader.read_u8().await, Ok(1));
    let (server, unconsumed) = reader.detach();
    assert_eq!(&unconsumed[..], b"unconsumed");
    let next = server.receive_partial(4, 4).await.expect("a part");
    assert_eq!(&next[..], b" and");
    // The same bytes in another reader, and then as a stream that programs of bytes take.
    let mut reader = portway::BinaryReader::begun_with(server, unconsumed);
    assert_eq!(reader.read_string(2).await.as_deref(), Ok("un"));
    let mut stream = reader.into_byte_stream();
    client.end_sending().await.expect("ended");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the rest");
    assert_eq!(rest, "consumed later");
}

#[tokio::test]
async fn a_writer_takes_a_value_whole_or_not_at_all_and_gives_back_what_is_unsent() {
    let (client, _server) = open_pair().await;
    let mut writer = client.binary_writer().with_buffer_bytes_max(5);
    writer.write_u32(7).expect("there is room");
    let full = WriteError::BufferFull { needed: 2, room: 1 };
    assert_eq!(writer.write_u16(1), Err(full));
    let error = writer.write_prefixed::<u8>(&[0; 256]);
    let expected = WriteError::TooLongForPrefix {
        bytes: 256,
        prefix_bits: 8,
    };
    assert_eq!(error, Err(expected));
    let error = writer.write_prefixed::<u8>(b"a").expect_err("no room");
    assert_eq!(error.kind(), FailureKind::LimitReached);
    writer.write_u8(8).expect("the last room");
    assert_eq!(writer.store().await, Ok(5));
    writer.write_str("left").expect("there is room again");
    let (client, unsent) = writer.detach();
    assert_eq!(&unsent[..], b"left");
    client.end_sending().await.expect("ended");
    let mut writer = client.binary_writer();
    writer.write_bytes(&unsent).expect("there is room");
    let error = writer.flush().await.expect_err("the direction has ended");
    assert_eq!(error.kind(), FailureKind::Closed);
    assert_eq!(writer.unstored(), b"left");
}

#[tokio::test]
async fn a_dropped_store_leaves_the_bytes_and_a_later_one_sends_them_once() {
    let open = Preconnection::new(Security::disabled());
    let (client, server) = pair(&open, &open).await;
    // A peer that does not read, until neither system nor queue takes more.
    let filler = vec![7; 1 << 20];
    let mut filled = 0;
    while client.try_send(filler.clone()).is_ok() {
        filled += filler.len();
    }
    let mut writer = client.binary_writer();
    writer.write_str("once").expect("there is room");
    tokio::select! {
        biased;
        stored = writer.store() => panic!("there was room: {stored:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(writer.unstored(), b"once");
    let mut reader = server.binary_reader();
    let mut read = vec![0; filled + 4];
    let (flushed, received) = tokio::join!(writer.flush(), reader.read_into(&mut read));
    flushed.expect("sent");
    received.expect("received");
    assert_eq!(&read[filled..], b"once");
    drop((client, writer));
    assert_eq!(reader.load_partial(1).await, Ok(0));
}

#[tokio::test]
async fn what_a_writer_stored_does_not_expire() {
    let lifetime = MessageProperties::new().with_lifetime(Some(Duration::from_nanos(1)));
    let hasty = Preconnection::new(Security::disabled()).message_defaults(lifetime);
    let open = Preconnection::new(Security::disabled());
    let (client, server) = pair(&open, &hasty).await;
    let filler = vec![7; 1 << 20];
    let mut filled = 0;
    let mut forever = portway::MessageContext::new();
    *forever.properties_mut() = MessageProperties::new().with_lifetime(None);
    // So much that the last of it waits in the queue.
    while client.info().queued_bytes == 0 {
        let message = portway::Message::from(filler.clone()).with_context(forever.clone());
        client.send(message).await.expect("accepted");
        filled += filler.len();
    }
    let mut writer = client.binary_writer();
    writer.write_u32(0x0102_0304).expect("there is room");
    let mut reader = server.binary_reader();
    let mut read = vec![0; filled];
    let (flushed, received) = tokio::join!(writer.flush(), reader.read_into(&mut read));
    flushed.expect("sent");
    received.expect("received");
    assert_eq!(reader.read_u32().await, Ok(0x0102_0304));
}

#[tokio::test]
async fn a_reader_takes_nothing_ahead_that_an_upgrade_would_have_to_refuse() {
    let (server_security, _) = tls_pair();
    let (client, server) = open_pair().await;
    let mut writer = client.binary_writer();
    // A byte behind the answer, as somebody on the way may put it there.
    say(&mut writer, b"S!").await;
    let mut reader = server.binary_reader();
    assert_eq!(reader.read_u8().await, Ok(b'S'));
    let (server, unconsumed) = reader.detach();
    assert!(unconsumed.is_empty());
    let parameters = server_security.tls_parameters().expect("TLS");
    let upgraded = server.upgrade_tls(parameters, TlsRole::Server, None).await;
    let error = upgraded.expect_err("there is plaintext");
    assert_eq!(error.kind(), FailureKind::ProtocolViolation);
}

#[tokio::test]
async fn over_a_framer_a_store_is_a_message_and_reads_go_across_them() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let mut writer = client.binary_writer();
    for part in [&b"\x01\x02"[..], b"\x03"] {
        say(&mut writer, part).await;
        client.send("").await.expect("accepted");
    }
    let first = server.receive().await.expect("a message");
    assert_eq!(&first[..], b"\x01\x02");
    let mut reader = portway::BinaryReader::begun_with(server, first.data);
    let read = reader.read_bytes(3).await.expect("of two messages");
    assert_eq!(&read[..], b"\x01\x02\x03");
}

#[tokio::test]
async fn a_broken_connection_is_no_end_of_its_stream() {
    let (client, server) = open_pair().await;
    let mut reader = server.binary_reader();
    client.abort();
    let error = reader.read_u8().await.expect_err("reset");
    assert!(matches!(error, ReadError::Receive(_)), "{error}");
    assert_eq!(error.kind(), FailureKind::Reset);
}
