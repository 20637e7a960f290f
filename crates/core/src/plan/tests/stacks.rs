//! Which stacks are in or out for which reason, and their order.

use super::*;
use crate::failure::{Failure, FailureKind};
use crate::property::{MessageProperties, Multipath};
use crate::security::{
    ChallengeCallback, CipherSuite, PreSharedKey, SecurityClass, TlsVersion, Trust,
};
use crate::stack::{CarrierKind, Provision, StackId, WireProtocol};

/// What tcp, tls, udp, quic and quic-datagram provide: always, optionally, never. Written out
/// again so that a change of a descriptor shows here.
const PROVIDED: &[(SelectionProperty, &str)] = &[
    (SelectionProperty::Reliability, "aanan"),
    (SelectionProperty::PreserveMsgBoundaries, "nnana"),
    (SelectionProperty::PerMsgReliability, "nnnnn"),
    (SelectionProperty::PreserveOrder, "aanan"),
    (SelectionProperty::ZeroRttMsg, "nonon"),
    (SelectionProperty::Multistreaming, "nnnan"),
    (SelectionProperty::FullChecksumSend, "aaaaa"),
    (SelectionProperty::FullChecksumRecv, "aaaaa"),
    (SelectionProperty::CongestionControl, "aanaa"),
    (SelectionProperty::KeepAlive, "oonoo"),
    (SelectionProperty::SoftErrorNotify, "nnann"),
    (SelectionProperty::ActiveReadBeforeSend, "oonno"),
];

#[test]
fn every_property_and_preference_gives_each_stack_the_documented_verdict() {
    let protocol = SelectionProperty::ALL
        .iter()
        .filter(|p| !p.is_about_paths());
    assert_eq!(protocol.count(), PROVIDED.len());
    for (property, provided) in PROVIDED {
        for &level in Preference::ALL {
            let mut request = initiate(SecurityParameters::opportunistic());
            request.properties = neutral().with_preference(*property, level);
            for (verdict, provision) in verdicts(request).iter().zip(provided.chars()) {
                let is_out = matches!(
                    (level, provision),
                    (Preference::Require, 'n') | (Preference::Prohibit, 'a')
                );
                let case = format!("{property} {level} {}", verdict.stack);
                assert_eq!(verdict.is_eligible(), !is_out, "{case}");
                assert_eq!(verdict.rank.is_some(), !is_out, "{case}");
                match (level, &verdict.exclusions[..]) {
                    (_, []) => assert!(!is_out, "{case}"),
                    (
                        Preference::Require,
                        [
                            Reason::Required {
                                property: named, ..
                            },
                        ],
                    )
                    | (
                        Preference::Prohibit,
                        [
                            Reason::Prohibited {
                                property: named, ..
                            },
                        ],
                    ) => {
                        assert_eq!(named, property, "{case}");
                    }
                    (_, other) => panic!("{case}: {other:?}"),
                }
                let is_wish = matches!(level, Preference::Prefer | Preference::Avoid);
                assert_eq!(verdict.wishes.len(), usize::from(is_wish), "{case}");
                for wish in &verdict.wishes {
                    let unmet = if level == Preference::Prefer {
                        'n'
                    } else {
                        'a'
                    };
                    assert_eq!(wish.is_met, provision != unmet, "{case}");
                    assert!(wish.is_explicit && wish.level == level, "{case}");
                    assert_eq!(wish.property, property.property(), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_wish_that_only_some_fulfil_puts_those_first() {
    for (property, provided) in PROVIDED {
        for level in [Preference::Prefer, Preference::Avoid] {
            let unmet = if level == Preference::Prefer {
                'n'
            } else {
                'a'
            };
            let mut request = initiate(SecurityParameters::tls());
            request.properties = neutral().with_preference(*property, level);
            let plan = Plan::new(request).unwrap();
            let is_met = |stack: &str| {
                let place = ["tcp", "tls", "udp", "quic", "quic-datagram"]
                    .iter()
                    .position(|name| *name == stack);
                provided.as_bytes()[place.unwrap()] != unmet as u8
            };
            let ranked = ranked(&plan);
            let is_split = ranked.iter().any(|(name, _)| is_met(name))
                && ranked.iter().any(|(name, _)| !is_met(name));
            for (name, rank) in ranked {
                let expected = u32::from(is_split && !is_met(&name));
                assert_eq!(rank, expected, "{property} {level} {name}");
            }
        }
    }
}

#[test]
fn equals_keep_the_order_of_the_request_and_share_a_rank() {
    let mut request = initiate(SecurityParameters::disabled());
    assert_eq!(
        ranked(&Plan::new(request.clone()).unwrap()),
        [("tcp".into(), 0), ("udp".into(), 0)]
    );
    request.stacks.reverse();
    assert_eq!(
        ranked(&Plan::new(request).unwrap()),
        [("udp".into(), 0), ("tcp".into(), 0)]
    );
}

/// A stack that is like another one but for one offer.
fn variant(
    name: &'static str,
    property: SelectionProperty,
    provision: Provision,
) -> StackDescriptor {
    StackDescriptor::tcp()
        .with_id(StackId::new(name))
        .with_offer(property, provision, "it is made so")
}

#[test]
fn explicit_wishes_outweigh_any_number_of_defaults() {
    // Multistreaming is preferred by default, keepAlive by the application.
    let many = variant("many", SelectionProperty::Multistreaming, Provision::Always).with_offer(
        SelectionProperty::KeepAlive,
        Provision::Never,
        "it has none",
    );
    let alive = variant("alive", SelectionProperty::KeepAlive, Provision::Always);
    let mut request = initiate(SecurityParameters::disabled());
    request.stacks = vec![many, alive];
    request.properties = TransportProperties::new();
    assert_eq!(
        names(&Plan::new(request.clone()).unwrap()),
        ["many", "alive"]
    );
    request.properties = TransportProperties::new().prefer(SelectionProperty::KeepAlive);
    let plan = Plan::new(request.clone()).unwrap();
    assert_eq!(ranked(&plan), [("alive".into(), 0), ("many".into(), 1)]);
    assert!(
        !plan.stacks()[0]
            .wishes
            .iter()
            .any(|w| { w.property == Property::Multistreaming && w.is_explicit })
    );
    request.properties = request.properties.prefer(SelectionProperty::Multistreaming);
    let plan = Plan::new(request).unwrap();
    assert_eq!(ranked(&plan), [("many".into(), 0), ("alive".into(), 0)]);
}

#[test]
fn avoided_properties_break_ties_between_preferred_ones() {
    let keeps = variant("keeps", SelectionProperty::KeepAlive, Provision::Never);
    let soft = variant(
        "soft",
        SelectionProperty::SoftErrorNotify,
        Provision::Always,
    );
    let mut request = initiate(SecurityParameters::disabled());
    request.stacks = vec![soft, keeps];
    request.properties = neutral().avoid(SelectionProperty::SoftErrorNotify);
    assert_eq!(
        names(&Plan::new(request.clone()).unwrap()),
        ["keeps", "soft"]
    );
    request.properties = request.properties.prefer(SelectionProperty::KeepAlive);
    assert_eq!(names(&Plan::new(request).unwrap()), ["soft", "keeps"]);
}

#[test]
fn a_preferred_property_outweighs_any_number_of_avoided_ones() {
    let alive = variant("alive", SelectionProperty::KeepAlive, Provision::Always)
        .with_offer(
            SelectionProperty::SoftErrorNotify,
            Provision::Always,
            "it is made so",
        )
        .with_offer(
            SelectionProperty::Multistreaming,
            Provision::Always,
            "it is made so",
        );
    let plain = variant("plain", SelectionProperty::KeepAlive, Provision::Never);
    let mut request = initiate(SecurityParameters::disabled());
    request.stacks = vec![plain, alive];
    request.properties = neutral()
        .prefer(SelectionProperty::KeepAlive)
        .avoid(SelectionProperty::SoftErrorNotify)
        .avoid(SelectionProperty::Multistreaming);
    assert_eq!(names(&Plan::new(request).unwrap()), ["alive", "plain"]);
}

#[test]
fn a_default_wish_to_avoid_weighs_least() {
    use super::super::score::Score;
    let mut scores = [Score::default(); 5];
    scores[1].suffer(false);
    scores[2].miss(false);
    scores[3].suffer(true);
    scores[4].miss(true);
    assert!(scores.is_sorted_by(|first, second| first < second));
    let mut twice = scores[1];
    twice.suffer(false);
    assert!(scores[1] < twice && twice < scores[2]);
}

#[test]
fn ranks_have_no_gaps() {
    use super::super::score::ranks;
    let keys = [Some(30), None, Some(10), Some(30), Some(20)];
    assert_eq!(
        ranks(keys.into_iter()),
        [Some(2), None, Some(0), Some(2), Some(1)]
    );
}

#[test]
fn security_decides_which_stacks_may_be_used() {
    let required = exclusions_of(initiate(SecurityParameters::tls()), "tcp");
    assert_eq!(required, [Reason::NoProtection]);
    assert_eq!(
        exclusions_of(initiate(SecurityParameters::tls()), "tls"),
        []
    );
    let disabled = exclusions_of(initiate(SecurityParameters::disabled()), "tls");
    assert_eq!(disabled, [Reason::ProtectionDisabled]);
    assert_eq!(
        exclusions_of(initiate(SecurityParameters::disabled()), "tcp"),
        []
    );
    let old = SecurityParameters::tls().with_max_version(TlsVersion::Tls12);
    let min = TlsVersion::Tls12;
    assert_eq!(
        exclusions_of(initiate(old.clone()), "quic"),
        [Reason::TlsVersion { min, max: min }]
    );
    assert_eq!(exclusions_of(initiate(old), "tls"), []);
}

#[test]
fn opportunistic_security_puts_protection_before_every_wish() {
    let mut request = initiate(SecurityParameters::opportunistic());
    request.stacks = vec![
        StackDescriptor::udp(),
        StackDescriptor::tcp(),
        StackDescriptor::tls(),
    ];
    request.properties = neutral().avoid(SelectionProperty::Reliability);
    let plan = Plan::new(request).unwrap();
    assert_eq!(
        ranked(&plan),
        [("tls".into(), 0), ("udp".into(), 1), ("tcp".into(), 2)]
    );
    assert!(plan.may_mix_security());
    let classes: Vec<bool> = plan
        .candidates()
        .iter()
        .map(|c| c.security.is_protected())
        .collect();
    assert_eq!(classes, [true, false, false]);
}

#[test]
fn without_opportunistic_security_all_candidates_have_one_class() {
    for security in [SecurityParameters::tls(), SecurityParameters::disabled()] {
        let plan = Plan::new(initiate(security)).unwrap();
        let candidates = plan.candidates();
        assert!(candidates.len() > 1);
        assert!(
            candidates
                .iter()
                .all(|c| c.security == candidates[0].security)
        );
        assert!(!plan.may_mix_security());
    }
}

#[test]
fn candidates_carry_wire_class_and_application_protocols() {
    let security = SecurityParameters::opportunistic().with_alpn(["h2"]);
    let candidates = Plan::new(initiate(security.clone())).unwrap().candidates();
    let of = |name: &str| {
        candidates
            .iter()
            .find(|c| c.stack.as_str() == name)
            .unwrap()
    };
    assert_eq!(of("tls").alpn, [b"h2".to_vec()]);
    assert_eq!(of("tls").wire, WireProtocol::Tcp);
    assert_eq!(
        of("tls").security,
        SecurityClass::of(&security, Some("example.com"))
    );
    assert_eq!(of("tcp").alpn, Vec::<Vec<u8>>::new());
    assert_eq!(of("tcp").security, SecurityClass::Cleartext);
    assert_eq!(of("udp").wire, WireProtocol::Udp);
    let listening = Plan::new(listen(SecurityParameters::tls()))
        .unwrap()
        .candidates();
    let server = SecurityClass::of_server(&listen(SecurityParameters::tls()).security);
    assert_eq!(listening[0].security, server);
}

#[test]
fn the_class_names_every_peer_once() {
    let mut request = initiate(SecurityParameters::tls());
    request.remotes = vec![
        remote("Example.com.:443"),
        remote("example.com:8443"),
        remote("192.0.2.1:443"),
    ];
    let class = Plan::new(request.clone()).unwrap().candidates()[0]
        .security
        .clone();
    let expected = SecurityClass::of(&request.security, Some("example.com or 192.0.2.1"));
    assert_eq!(class, expected);
}

#[test]
fn a_listener_with_tls_needs_a_certificate_and_a_client_does_not() {
    let mut request = listen(SecurityParameters::tls());
    assert_eq!(names(&Plan::new(request.clone()).unwrap()), ["tls"]);
    request.security = SecurityParameters::tls();
    assert_eq!(exclusions_of(request, "tls"), [Reason::NoIdentity]);
    let anyone = SecurityParameters::tls().with_trust(Trust::DangerousAnyone);
    assert_eq!(exclusions_of(initiate(anyone), "tls"), []);
}

#[test]
fn a_stack_that_doubles_messages_needs_them_to_be_replayable() {
    let base = || {
        let mut request = initiate(SecurityParameters::disabled());
        request.properties.unset("safelyReplayable").unwrap();
        request
    };
    assert_eq!(exclusions_of(base(), "udp"), [Reason::NotReplayable]);
    assert_eq!(exclusions_of(base(), "tcp"), []);
    let mut request = base();
    request.is_safely_replayable = true;
    assert_eq!(exclusions_of(request.clone(), "udp"), []);
    let first = MessageProperties::new();
    request.first_message = Some(first);
    assert_eq!(
        exclusions_of(request.clone(), "udp"),
        [],
        "the default holds for the first one"
    );
    request.first_message = Some(first.with_safely_replayable(true));
    assert_eq!(exclusions_of(request.clone(), "udp"), []);
    request.first_message = Some(first.with_safely_replayable(false));
    assert_eq!(exclusions_of(request, "udp"), [Reason::NotReplayable]);
    let mut request = base();
    request.first_message = Some(first.with_safely_replayable(true));
    assert_eq!(
        exclusions_of(request, "udp"),
        [Reason::NotReplayable],
        "later ones may differ"
    );
    let mut request = base();
    request.properties.set("safelyReplayable", true).unwrap();
    assert_eq!(exclusions_of(request, "udp"), []);
}

#[test]
fn a_framer_gives_byte_streams_message_boundaries() {
    let framed = |level, has_framer| {
        let mut request = initiate(SecurityParameters::opportunistic());
        request.properties =
            neutral().with_preference(SelectionProperty::PreserveMsgBoundaries, level);
        request.has_framer = has_framer;
        verdicts(request)
            .iter()
            .map(StackVerdict::is_eligible)
            .collect::<Vec<_>>()
    };
    // In the order tcp, tls, udp, quic, quic-datagram.
    assert_eq!(
        framed(Preference::Require, false),
        [false, false, true, false, true]
    );
    assert_eq!(framed(Preference::Require, true), [true; 5]);
    assert_eq!(
        framed(Preference::Prohibit, false),
        [true, true, false, true, false]
    );
    assert_eq!(
        framed(Preference::Prohibit, true),
        [true, true, false, true, false]
    );
    let mut request = initiate(SecurityParameters::disabled());
    request.properties = neutral().require(SelectionProperty::PerMsgReliability);
    request.has_framer = true;
    assert!(
        Plan::new(request).is_err(),
        "a framer gives nothing but boundaries"
    );
    let odd = StackDescriptor::new(
        StackId::new("odd"),
        WireProtocol::Udp,
        CarrierKind::Datagrams,
    );
    let mut request = initiate(SecurityParameters::disabled());
    request.properties = neutral().require(SelectionProperty::PreserveMsgBoundaries);
    request.has_framer = true;
    request.stacks = vec![odd];
    assert!(
        Plan::new(request).is_err(),
        "a framer adds no boundaries to datagrams"
    );
}

#[test]
fn a_rendezvous_ignores_who_writes_first() {
    let mut request = initiate(SecurityParameters::disabled());
    request.locals = vec![local("*:7")];
    request.properties = neutral().require(SelectionProperty::ActiveReadBeforeSend);
    assert_eq!(names(&Plan::new(request.clone()).unwrap()), ["tcp"]);
    request.action = Action::Listen;
    assert_eq!(names(&Plan::new(request.clone()).unwrap()), ["tcp"]);
    request.action = Action::Rendezvous;
    assert_eq!(names(&Plan::new(request.clone()).unwrap()), ["tcp", "udp"]);
    request.properties = neutral().prefer(SelectionProperty::ActiveReadBeforeSend);
    assert!(
        Plan::new(request)
            .unwrap()
            .stacks()
            .iter()
            .all(|v| v.wishes.is_empty())
    );
}

#[test]
fn a_stack_without_an_endpoint_is_out() {
    let mut request = initiate(SecurityParameters::disabled());
    request.remotes = vec![remote("example.com:443").for_stack(StackId::UDP)];
    let remote_side = Reason::NoEndpoint { side: Side::Remote };
    assert_eq!(exclusions_of(request.clone(), "tcp"), [remote_side]);
    assert_eq!(exclusions_of(request.clone(), "udp"), []);
    request
        .remotes
        .push(remote("example.com:80").for_stack(StackId::TCP));
    assert_eq!(exclusions_of(request.clone(), "tcp"), []);
    request.locals = vec![local("*:0").for_stack(StackId::TCP)];
    let local_side = Reason::NoEndpoint { side: Side::Local };
    assert_eq!(exclusions_of(request.clone(), "udp"), [local_side]);
    request.locals.push(local("*:0").for_stack(StackId::UDP));
    assert_eq!(exclusions_of(request, "udp"), []);
}

#[test]
fn an_srv_name_is_for_the_stacks_of_its_transport() {
    let srv = |service: &str| {
        let mut request = initiate(SecurityParameters::disabled());
        request.remotes = vec![RemoteEndpoint::host_name("example.com").service(service)];
        names(&Plan::new(request).unwrap())
    };
    assert_eq!(srv("_x._tcp"), ["tcp"]);
    assert_eq!(srv("_x._udp"), ["udp"]);
    assert_eq!(srv("https"), ["tcp", "udp"]);
}

#[test]
fn any_use_of_several_paths_prefers_stacks_that_can() {
    let order = |multipath: Option<Multipath>, action| {
        let mut request = initiate(SecurityParameters::tls());
        request.action = action;
        request.locals = vec![local("*:7")];
        request.security = with_protocol(listen(SecurityParameters::tls()).security);
        request.properties.unset("multipath").unwrap();
        if let Some(multipath) = multipath {
            request.properties = request.properties.with_multipath(multipath);
        }
        ranked(&Plan::new(request).unwrap())
    };
    let level = |names: [&str; 3], ranks: [u32; 3]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .zip(ranks)
            .collect::<Vec<_>>()
    };
    let equal = level(["tls", "quic", "quic-datagram"], [0, 0, 0]);
    let quic = level(["quic", "quic-datagram", "tls"], [0, 0, 1]);
    assert_eq!(order(None, Action::Initiate), equal);
    assert_eq!(order(None, Action::Rendezvous), equal);
    assert_eq!(order(None, Action::Listen), quic, "passive by default");
    assert_eq!(order(Some(Multipath::Active), Action::Initiate), quic);
    assert_eq!(order(Some(Multipath::Disabled), Action::Listen), equal);
}

#[test]
fn the_profiles_choose_their_protocols() {
    let choose = |properties: TransportProperties, security, has_framer| {
        let mut request = initiate(security);
        request.properties = properties;
        request.has_framer = has_framer;
        Plan::new(request)
            .map(|plan| names(&plan))
            .unwrap_or_default()
    };
    let (off, on) = (SecurityParameters::disabled, SecurityParameters::tls);
    let stream = TransportProperties::reliable_inorder_stream;
    let message = TransportProperties::reliable_message;
    let datagram = TransportProperties::unreliable_datagram;
    assert_eq!(choose(stream(), off(), false), ["tcp"]);
    assert_eq!(choose(stream(), on(), false), ["quic", "tls"]);
    assert_eq!(choose(message(), off(), false), [""; 0]);
    assert_eq!(choose(message(), off(), true), ["tcp"]);
    assert_eq!(choose(message(), on(), true), ["quic", "tls"]);
    assert_eq!(choose(datagram(), off(), false), ["udp"]);
    assert_eq!(choose(datagram(), off(), true), ["udp", "tcp"]);
    assert_eq!(choose(datagram(), on(), false), ["quic-datagram"]);
}

#[test]
fn quic_is_out_without_an_application_protocol_that_runs_over_it() {
    let exclusions = |security: SecurityParameters, stack: &str| {
        let mut request = initiate(SecurityParameters::tls());
        request.security = security;
        exclusions_of(request, stack)
    };
    let tls = SecurityParameters::tls;
    for quic in ["quic", "quic-datagram"] {
        assert_eq!(exclusions(tls(), quic), [Reason::NoApplicationProtocol]);
        let web = tls().with_alpn(["h2", "http/1.1"]);
        assert_eq!(exclusions(web, quic), [Reason::ApplicationProtocols]);
        assert_eq!(exclusions(tls().with_alpn(["h2", "h3"]), quic), []);
    }
    assert_eq!(exclusions(tls(), "tls"), []);
    let http3 = tls().with_alpn(["h3"]);
    assert_eq!(exclusions(http3, "tls"), [Reason::ApplicationProtocols]);
}

#[test]
fn each_stack_offers_the_application_protocols_that_run_over_it() {
    let mut request = initiate(SecurityParameters::tls());
    request.security = SecurityParameters::tls().with_alpn(["h3", "h2", "http/1.1"]);
    let candidates = Plan::new(request).unwrap().candidates();
    let offered = |stack: StackId| {
        let candidate = candidates.iter().find(|c| c.stack == stack).unwrap();
        candidate.alpn.join(&b' ')
    };
    assert_eq!(offered(StackId::QUIC), b"h3");
    assert_eq!(offered(StackId::TLS), b"h2 http/1.1");
}

#[test]
fn the_default_request_is_tls_over_tcp() {
    let mut request = PlanRequest::new(Action::Initiate, SecurityParameters::tls());
    request.remotes.push(remote("example.com:443"));
    let stacks = request.stacks.clone();
    let plan = Plan::new(request).unwrap();
    assert_eq!(names(&plan), ["tls"]);
    assert_eq!(plan.eligible(&stacks), [&StackDescriptor::tls()]);
    assert_eq!(plan.action(), Action::Initiate);
}

#[test]
fn without_a_stack_the_error_names_the_property_and_every_stacks_reason() {
    let mut request = PlanRequest::new(Action::Initiate, SecurityParameters::disabled());
    request.remotes.push(remote("example.com:443"));
    request.properties = request
        .properties
        .require(SelectionProperty::PerMsgReliability);
    let text = Plan::new(request).unwrap_err().to_string();
    for part in [
        "no protocol stack satisfies the request; quic: security is disabled",
        "; tls: security is disabled",
        "; tcp: perMsgReliability is required, but every message has",
        "; udp: it can deliver a message twice",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_pre_shared_key_cannot_be_planned() {
    let key = PreSharedKey::new("device 7", "hush");
    for security in [
        SecurityParameters::tls(),
        SecurityParameters::opportunistic(),
    ] {
        let security = security.with_tls(|tls| tls.with_pre_shared_key(key.clone()));
        let error = Plan::new(initiate(security)).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unsupported);
        assert!(
            error.to_string().contains("pre-shared key device 7"),
            "{error}"
        );
        let source = std::error::Error::source(&error).expect("the failure of the security");
        let failure = source.downcast_ref::<Failure>().expect("it is a failure");
        assert_eq!(failure.kind, FailureKind::Unsupported);
    }
}

#[test]
fn algorithms_rule_out_the_stacks_that_do_not_have_them() {
    let suite = CipherSuite::EcdheRsaAes128GcmSha256;
    let of_tls12 = SecurityParameters::tls().with_tls(|tls| tls.with_cipher_suites([suite]));
    assert_eq!(exclusions_of(initiate(of_tls12.clone()), "tls"), []);
    assert_eq!(
        exclusions_of(initiate(of_tls12.clone()), "quic"),
        [Reason::TlsAlgorithms]
    );
    let impossible = of_tls12.with_min_version(TlsVersion::Tls13);
    let error = Plan::new(initiate(impossible)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no TLS version from TLS 1.3 to TLS 1.3 works with the cipher suites that are allowed"
    );
}

#[test]
fn a_listener_may_leave_the_choice_of_its_certificate_to_a_callback() {
    let mut request = listen(SecurityParameters::tls());
    request.security =
        SecurityParameters::tls().with_challenge_callback(ChallengeCallback::new(|_| None));
    assert_eq!(names(&Plan::new(request).unwrap()), ["tls"]);
}
