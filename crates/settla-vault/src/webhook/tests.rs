use super::*;
use crate::assert_not_impl::assert_not_impl;

assert_not_impl!(WebhookSecret, serde::Serialize);
assert_not_impl!(WebhookSecret, std::fmt::Display);
assert_not_impl!(WebhookSecret, PartialEq);

// The vector of the standard's own libraries.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const TIMESTAMP: i64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn secret() -> WebhookSecret {
    WebhookSecret::parse(SECRET).unwrap()
}

fn headers() -> WebhookHeaders<'static> {
    WebhookHeaders { id: Some(ID), timestamp: Some("1649367553"), signature: Some(SIGNATURE) }
}

fn check(headers: WebhookHeaders<'_>) -> Result<(), VerifyError> {
    verify(&[secret()], &headers, BODY, TIMESTAMP, TOLERANCE_S)
}

fn check_signature(signature: &str) -> Result<(), VerifyError> {
    check(WebhookHeaders { signature: Some(signature), ..headers() })
}

#[test]
fn the_standards_vector_signs_and_verifies() {
    assert_eq!(sign(&secret(), ID, TIMESTAMP, BODY), SIGNATURE);
    assert_eq!(check(headers()), Ok(()));
}

#[test]
fn a_signature_is_good_for_its_id_time_body_and_secret_alone() {
    let mismatch = Err(VerifyError::Mismatch);
    assert_eq!(check(WebhookHeaders { id: Some("msg_other"), ..headers() }), mismatch);
    assert_eq!(check(WebhookHeaders { timestamp: Some("1649367554"), ..headers() }), mismatch);
    // The same number written otherwise is other signed content.
    assert_eq!(check(WebhookHeaders { timestamp: Some("01649367553"), ..headers() }), mismatch);
    for body in [b"".as_slice(), &BODY[1..], &[BODY, b"\n"].concat()] {
        assert_eq!(verify(&[secret()], &headers(), body, TIMESTAMP, TOLERANCE_S), mismatch);
    }
    let other = [WebhookSecret::generate()];
    assert_eq!(verify(&other, &headers(), BODY, TIMESTAMP, TOLERANCE_S), mismatch);
    assert_eq!(verify(&[], &headers(), BODY, TIMESTAMP, TOLERANCE_S), Err(VerifyError::NoSecret));
}

#[test]
fn bodies_need_not_be_text() {
    let body = [0xff, 0x00, 0xfe];
    let signature = sign(&secret(), ID, TIMESTAMP, &body);
    let headers = WebhookHeaders { signature: Some(&signature), ..headers() };
    assert_eq!(verify(&[secret()], &headers, &body, TIMESTAMP, TOLERANCE_S), Ok(()));
}

#[test]
fn each_header_is_needed() {
    let missing = |name| Err(VerifyError::MissingHeader(name));
    assert_eq!(check(WebhookHeaders { id: None, ..headers() }), missing("webhook-id"));
    assert_eq!(check(WebhookHeaders { timestamp: None, ..headers() }), missing("webhook-timestamp"));
    assert_eq!(check(WebhookHeaders { signature: None, ..headers() }), missing("webhook-signature"));
}

#[test]
fn a_truncated_or_lengthened_signature_is_refused() {
    // Every prefix of the right signature, the empty one included.
    for length in 3..SIGNATURE.len() {
        assert_eq!(check_signature(&SIGNATURE[..length]), Err(VerifyError::MalformedSignature), "{length}");
    }
    for short in ["v1,AAAA", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kg=="] {
        assert_eq!(check_signature(short), Err(VerifyError::MalformedSignature), "{short}");
    }
    let longer = format!("v1,{}", STANDARD.encode([0; 33]));
    assert_eq!(check_signature(&longer), Err(VerifyError::MalformedSignature));
    let zeros = format!("v1,{}", STANDARD.encode([0; 32]));
    assert_eq!(check_signature(&zeros), Err(VerifyError::Mismatch));
}

#[test]
fn every_byte_of_the_signature_counts() {
    let right = digest(&secret(), ID, "1649367553", BODY);
    for index in 0..right.len() {
        let mut wrong = right;
        wrong[index] ^= 1;
        let text = format!("v1,{}", STANDARD.encode(wrong));
        assert_eq!(check_signature(&text), Err(VerifyError::Mismatch), "byte {index}");
    }
}

#[test]
fn other_versions_and_empty_headers_are_no_signature() {
    let bare = &SIGNATURE[3..];
    for header in ["", " ", "v1", bare, &format!("v1a,{bare}"), &format!("v2,{bare}"), &format!("V1,{bare}")] {
        assert_eq!(check_signature(header), Err(VerifyError::NoSupportedSignature), "{header:?}");
    }
}

#[test]
fn any_of_several_signatures_and_secrets_will_do() {
    let other = sign(&WebhookSecret::generate(), ID, TIMESTAMP, BODY);
    for header in
        [format!("{other} {SIGNATURE}"), format!("{SIGNATURE} {other}"), format!("v1a,AAAA v1, v1,%% {SIGNATURE}")]
    {
        assert_eq!(check_signature(&header), Ok(()), "{header}");
    }
    let rotating = [WebhookSecret::generate(), secret()];
    assert_eq!(verify(&rotating, &headers(), BODY, TIMESTAMP, TOLERANCE_S), Ok(()));
}

#[test]
fn the_number_of_signatures_is_bounded() {
    let many = |count| vec![SIGNATURE; count].join(" ");
    assert_eq!(check_signature(&many(16)), Ok(()));
    assert_eq!(check_signature(&many(17)), Err(VerifyError::TooManySignatures));
    let long = format!("{SIGNATURE} v1,{}", "A".repeat(5000));
    assert_eq!(check_signature(&long), Err(VerifyError::TooManySignatures));
}

#[test]
fn the_tolerance_is_exact_both_ways() {
    let at = |now_s| verify(&[secret()], &headers(), BODY, now_s, TOLERANCE_S);
    assert_eq!(at(TIMESTAMP + 300), Ok(()));
    assert_eq!(at(TIMESTAMP + 301), Err(VerifyError::TooOld));
    assert_eq!(at(TIMESTAMP - 300), Ok(()));
    assert_eq!(at(TIMESTAMP - 301), Err(VerifyError::TooNew));
    assert_eq!(at(i64::MAX), Err(VerifyError::TooOld));
    assert_eq!(at(i64::MIN), Err(VerifyError::TooNew));
}

#[test]
fn malformed_timestamps_are_refused() {
    for text in ["", "+1649367553", "-1649367553", " 1649367553", "1649367553.0", "1e9", "9999999999999", "١٦"] {
        let outcome = check(WebhookHeaders { timestamp: Some(text), ..headers() });
        assert_eq!(outcome, Err(VerifyError::MalformedTimestamp), "{text:?}");
    }
}

#[test]
fn malformed_ids_are_refused_even_when_signed() {
    for id in ["", "msg.1649367553", "msg 1", "msg\n1", "mßg", &"a".repeat(257)] {
        let signature = sign(&secret(), id, TIMESTAMP, BODY);
        let headers = WebhookHeaders { id: Some(id), signature: Some(&signature), ..headers() };
        assert_eq!(check(headers), Err(VerifyError::MalformedId), "{id:?}");
    }
}

#[test]
fn secrets_have_24_to_64_bytes() {
    for length in [24, 25, 32, 64] {
        let text = format!("whsec_{}", STANDARD.encode(vec![7; length]));
        let secret = WebhookSecret::parse(&text).unwrap();
        assert_eq!(secret.bytes(), vec![7; length]);
        assert_eq!(secret.expose().expose(), &text);
        assert_eq!(WebhookSecret::from_bytes(secret.bytes()).unwrap().bytes(), secret.bytes());
    }
    for length in [0, 1, 23, 65, 100, 1000, 100_000] {
        let text = format!("whsec_{}", STANDARD.encode(vec![7; length]));
        assert_eq!(WebhookSecret::parse(&text).unwrap_err(), SecretError::Length, "{length}");
        assert_eq!(WebhookSecret::from_bytes(&vec![7; length]).unwrap_err(), SecretError::Length);
    }
}

#[test]
fn text_that_is_no_secret_is_refused() {
    let encoded = &SECRET[6..];
    for text in ["", encoded, &format!("whsk_{encoded}"), &format!("WHSEC_{encoded}")] {
        assert_eq!(WebhookSecret::parse(text).unwrap_err(), SecretError::Prefix, "{text:?}");
    }
    let unpadded = STANDARD.encode([7; 25]).replace('=', "");
    for encoded in [&unpadded, "C2FVsBQIhrscChlQIMV-b5sSYspob7oD", "C2FV sBQI hrsc ChlQ IMV+ b5sS", "%%%%"] {
        let text = format!("whsec_{encoded}");
        assert_eq!(WebhookSecret::parse(&text).unwrap_err(), SecretError::Base64, "{text:?}");
    }
}

#[test]
fn made_secrets_differ_read_back_and_do_not_print() {
    let (one, two) = (WebhookSecret::generate(), WebhookSecret::generate());
    assert_ne!(one.bytes(), two.bytes());
    assert_eq!(WebhookSecret::parse(one.expose().expose()).unwrap().bytes(), one.bytes());
    assert_eq!(format!("{:?} {:?}", secret(), secret().expose()), "WebhookSecret(Secret(***)) Secret(***)");
    let error = WebhookSecret::parse("whsec_canary!").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}
