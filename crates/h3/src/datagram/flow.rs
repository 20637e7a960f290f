//! Flows of draft-ietf-masque-h3-datagram-00: numbers of the whole connection that requests name in
//! the Datagram-Flow-Id header field.
//!
//! Invariant: a number that we give out has our parity and fits the header field.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::stream::{Role, StreamId};
use crate::structured::{self, BareItem};

/// The header field that names the flows of a request.
pub const FLOW_HEADER: &str = "datagram-flow-id";

/// The largest flow that the header field can name.
// draft-00 §6: integers of structured fields end at 10^15-1.
pub const FLOW_MAX: u64 = 999_999_999_999_999;

/// How many flows one header field may name.
const FLOWS_MAX: usize = 16;

/// A flow that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowId {
    /// The number.
    pub id: u64,
    /// What it is for; one flow of a request may have no name.
    pub name: Option<String>,
}

impl FlowId {
    /// The flows that a message names, or `None` when the header field is malformed.
    // draft-00 §6: a list of integers up to 10^15-1; at most one without a name, and no name twice.
    pub fn of(headers: &HeaderMap) -> Option<Vec<Self>> {
        let lines: Vec<&[u8]> = headers
            .get_all(FLOW_HEADER)
            .iter()
            .map(|line| line.as_bytes())
            .collect();
        let mut flows: Vec<Self> = Vec::new();
        let mut is_fine = true;
        structured::parse_list(&lines.join(&b", "[..]), |item, first| {
            let id = match item {
                BareItem::Integer(id) => u64::try_from(id).ok(),
                _ => None,
            };
            // A boolean parameter that is true is the name; false is not allowed.
            let name = match first {
                Some((key, BareItem::Boolean(true))) => {
                    Some(String::from_utf8_lossy(key).into_owned())
                }
                Some((_, BareItem::Boolean(false))) => {
                    is_fine = false;
                    None
                }
                _ => None,
            };
            let is_new = flows.iter().all(|flow| flow.name != name);
            match id {
                Some(id) if is_new && flows.len() < FLOWS_MAX => flows.push(Self { id, name }),
                _ => is_fine = false,
            }
        })?;
        is_fine.then_some(flows)
    }

    /// The text of the header field for these flows.
    pub fn header_value(flows: &[Self]) -> String {
        let member = |flow: &Self| match &flow.name {
            Some(name) => format!("{}; {name}", flow.id),
            None => flow.id.to_string(),
        };
        flows.iter().map(member).collect::<Vec<_>>().join(", ")
    }
}

/// The flows of a connection.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    next: u64,
    retired: Vec<u64>,
    /// The requests that name a flow; the oldest gets its datagrams.
    requests: BTreeMap<u64, Vec<StreamId>>,
}

impl Flows {
    /// A flow of ours; `None` when the numbers have run out.
    // draft-00 §3: clients use even numbers, servers odd ones; retired ones are used again.
    pub(crate) fn allocate(&mut self, role: Role) -> Option<u64> {
        if let Some(flow) = self.retired.pop() {
            return Some(flow);
        }
        let flow = self.next * 2 + u64::from(role == Role::Server);
        if flow > FLOW_MAX {
            return None;
        }
        self.next += 1;
        Some(flow)
    }

    /// Gives a flow back; the application knows that the peer does not use it any more.
    pub(crate) fn retire(&mut self, role: Role, flow: u64) {
        let is_ours = (flow % 2 == 1) == (role == Role::Server) && flow / 2 < self.next;
        if is_ours && !self.retired.contains(&flow) && !self.requests.contains_key(&flow) {
            self.retired.push(flow);
        }
    }

    /// A request names these flows; several requests may name the same.
    pub(crate) fn associate(&mut self, stream: StreamId, flows: &[FlowId]) {
        for flow in flows {
            self.requests.entry(flow.id).or_default().push(stream);
        }
    }

    /// A request is over.
    #[inline]
    pub(crate) fn forget(&mut self, stream: StreamId) {
        if self.requests.is_empty() {
            return;
        }
        self.requests.retain(|_, streams| {
            streams.retain(|other| *other != stream);
            !streams.is_empty()
        });
    }

    /// The request that gets the datagrams of a flow.
    pub(crate) fn request(&self, flow: u64) -> Option<StreamId> {
        self.requests.get(&flow)?.first().copied()
    }

    /// Whether a request names a flow.
    pub(crate) fn is_of(&self, flow: u64, stream: StreamId) -> bool {
        self.requests
            .get(&flow)
            .is_some_and(|streams| streams.contains(&stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn flows(lines: &[&str]) -> Option<Vec<FlowId>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FLOW_HEADER, HeaderValue::from_str(line).expect("a value"));
        }
        FlowId::of(&headers)
    }

    fn stream(index: u64) -> StreamId {
        StreamId::new(index * 4).expect("in range")
    }

    #[test]
    fn the_header_field_names_flows_in_any_order() {
        let named = flows(&["44; ecn-ect0, 42, 48; ecn-ce", "46; ecn-ect1"]).expect("a list");
        let ids: Vec<u64> = named.iter().map(|flow| flow.id).collect();
        assert_eq!(ids, [44, 42, 48, 46]);
        assert_eq!(named[0].name.as_deref(), Some("ecn-ect0"));
        assert_eq!(named[1].name, None);
        let text = FlowId::header_value(&named);
        assert_eq!(flows(&[&text]), Some(named));
        assert_eq!(flows(&[]), Some(vec![]));
    }

    #[test]
    fn malformed_header_fields_are_refused() {
        for wrong in [
            "1, 2",
            "1; a, 2; a",
            "a",
            "1.5",
            "-1",
            "1;a=?0",
            "\"1\"",
            "(1)",
            "1,",
            "1000000000000000",
        ] {
            assert_eq!(flows(&[wrong]), None, "{wrong}");
        }
        assert!(flows(&["999999999999999"]).is_some());
        // A first parameter of another type leaves a flow without a name.
        assert_eq!(flows(&["1;a=5"]).expect("a list")[0].name, None);
        let many: Vec<String> = (0..17).map(|n| format!("{n};n{n}")).collect();
        assert_eq!(flows(&[&many.join(",")]), None);
    }

    #[test]
    fn numbers_have_our_parity_and_retired_ones_come_back() {
        let mut client = Flows::default();
        assert_eq!(client.allocate(Role::Client), Some(0));
        assert_eq!(client.allocate(Role::Client), Some(2));
        client.retire(Role::Client, 0);
        client.retire(Role::Client, 1);
        client.retire(Role::Client, 100);
        assert_eq!(client.allocate(Role::Client), Some(0));
        assert_eq!(client.allocate(Role::Client), Some(4));
        assert_eq!(Flows::default().allocate(Role::Server), Some(1));
    }

    #[test]
    fn a_flow_that_a_request_names_is_not_retired() {
        let mut flows = Flows::default();
        let flow = flows.allocate(Role::Client).expect("a number");
        flows.associate(
            stream(0),
            &[FlowId {
                id: flow,
                name: None,
            }],
        );
        flows.retire(Role::Client, flow);
        assert_eq!(flows.allocate(Role::Client), Some(2));
        flows.forget(stream(0));
        flows.retire(Role::Client, flow);
        assert_eq!(flows.allocate(Role::Client), Some(flow));
    }

    #[test]
    fn numbers_run_out_before_the_header_field_cannot_hold_them() {
        let mut flows = Flows {
            next: FLOW_MAX / 2,
            ..Flows::default()
        };
        assert_eq!(flows.allocate(Role::Server), Some(FLOW_MAX));
        assert_eq!(flows.allocate(Role::Server), None);
    }

    #[test]
    fn a_flow_may_be_shared_by_requests() {
        let mut flows = Flows::default();
        let flow = [FlowId { id: 0, name: None }];
        flows.associate(stream(0), &flow);
        flows.associate(stream(1), &flow);
        assert_eq!(flows.request(0), Some(stream(0)));
        flows.forget(stream(0));
        assert_eq!(flows.request(0), Some(stream(1)));
        assert!(flows.is_of(0, stream(1)) && !flows.is_of(0, stream(0)));
        flows.forget(stream(1));
        assert_eq!(flows.request(0), None);
    }
}
