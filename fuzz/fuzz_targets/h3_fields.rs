//! Field sections of any content, as every kind of message.
//!
//! Invariant: no panic, and what is accepted can be sent and is accepted again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portway_h3::field::{FieldName, FieldValue};
use portway_h3::limits::Limits;
use portway_h3::message::{AuthorityCache, Bounds, Outgoing, Section};

fuzz_target!(|fields: Vec<(Vec<u8>, Vec<u8>)>| {
    if let Ok(head) = section(&fields).into_request(true, &mut AuthorityCache::default()) {
        let outgoing = Outgoing::request(&head).expect("what was taken can be sent");
        let sent = lines(&outgoing);
        let again = section(&sent).into_request(true, &mut AuthorityCache::default());
        let again = again.expect("what was sent is taken");
        assert_eq!((head.method, head.uri), (again.method, again.uri));
    }
    if let Ok(head) = section(&fields).into_response() {
        let again = Outgoing::response(&head).map(|outgoing| section(&lines(&outgoing)));
        // A declared length that is none is found with the content, not with the fields.
        if let Ok(section) = again {
            let again = section.into_response().expect("what was sent is taken");
            assert_eq!(head.status, again.status);
        }
    }
    let _ = section(&fields).into_trailers();
});

fn section(fields: &[(Vec<u8>, Vec<u8>)]) -> Section {
    // Wide enough that what a message gains by being sent does not matter.
    let mut bounds = Bounds::from(&Limits::default());
    bounds.bytes *= 4;
    bounds.fields *= 4;
    let mut section = Section::new(bounds);
    for (name, value) in fields {
        let value = FieldValue::parse(Bytes::copy_from_slice(value));
        // A refusal stays in the section.
        let _ = section.push(FieldName::parse(name), value);
    }
    section
}

fn lines(outgoing: &Outgoing<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut lines = Vec::new();
    outgoing.for_each(|name, value, _| lines.push((name.to_vec(), value.to_vec())));
    lines
}
