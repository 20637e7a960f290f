//! Field sections of any content, as every kind of message.
//!
//! Invariant: no panic, and what is accepted can be sent and is accepted again.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use portway_h3::field::{FieldName, FieldValue};
use portway_h3::limits::Limits;
use portway_h3::message::{AuthorityCache, Bounds, Outgoing, Section};

/// Names and values.
type Input = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn run(data: &[u8]) {
    let Ok(fields) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
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
}

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
