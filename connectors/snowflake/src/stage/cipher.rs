//! Encrypting files before they leave this program, as stages of the kind `SNOWFLAKE_FULL` want them.

use crate::client::random;
use crate::error::{Fault, own};
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockEncryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use tablecast_core::{Error, Result};

/// What an answer to a PUT says about encryption.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Material {
    master: Vec<u8>,
    query_id: String,
    key_id: String,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({})", self.key_id)
    }
}

/// A file as it is uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) body: Bytes,
    /// SHA-256 of what was in it, in base64.
    pub(crate) digest: String,
    pub(crate) envelope: Option<Envelope>,
}

/// What whoever reads it needs besides the master key.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// The file's own key, under the master key.
    pub(crate) key: String,
    pub(crate) iv: String,
    /// Which master key it was.
    pub(crate) description: String,
}

impl Envelope {
    /// The form that Azure and Google Cloud Storage have it in.
    pub(crate) fn encryption_data(&self) -> String {
        json!({
            "EncryptionMode": "FullBlob",
            "WrappedContentKey": {"KeyId": "symmKey1", "EncryptedKey": self.key, "Algorithm": "AES_CBC_256"},
            "EncryptionAgent": {"Protocol": "1.0", "EncryptionAlgorithm": "AES_CBC_256"},
            "ContentEncryptionIV": self.iv,
            "KeyWrappingMetadata": {"EncryptionLibrary": "Java 5.3.0"},
        })
        .to_string()
    }
}

/// Reads what an answer says; none for a stage that encrypts by itself. It comes as an object, as a list with one for
/// each file, or not at all.
pub(crate) fn material(answer: &Value) -> Result<Option<Material>, Fault> {
    let value = match answer {
        Value::Array(list) => list.first().unwrap_or(&Value::Null),
        other => other,
    };
    let text = |key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let master = text("queryStageMasterKey");
    if master.is_empty() {
        return Ok(None);
    }
    let master = STANDARD.decode(master).ok().filter(|key| matches!(key.len(), 16 | 32));
    let master = master.ok_or_else(|| Fault::new(own::UPLOAD, ""))?;
    Ok(Some(Material { master, query_id: text("queryId"), key_id: text("smkId") }))
}

/// Makes a file ready to be uploaded.
pub(crate) fn seal(plain: &Bytes, material: Option<&Material>) -> Result<Sealed> {
    let digest = STANDARD.encode(Sha256::digest(plain));
    let Some(material) = material else { return Ok(Sealed { body: plain.clone(), digest, envelope: None }) };
    let (iv, key) = (random::<16>()?, random::<32>()?);
    let key = &key[..material.master.len()];
    let sealed = match material.master.len() {
        16 => cbc::Encryptor::<Aes128>::new_from_slices(key, &iv)
            .ok()
            .zip(ecb::Encryptor::<Aes128>::new_from_slice(&material.master).ok())
            .map(|(file, wrap)| {
                (file.encrypt_padded_vec_mut::<Pkcs7>(plain), wrap.encrypt_padded_vec_mut::<Pkcs7>(key))
            }),
        _ => cbc::Encryptor::<Aes256>::new_from_slices(key, &iv)
            .ok()
            .zip(ecb::Encryptor::<Aes256>::new_from_slice(&material.master).ok())
            .map(|(file, wrap)| {
                (file.encrypt_padded_vec_mut::<Pkcs7>(plain), wrap.encrypt_padded_vec_mut::<Pkcs7>(key))
            }),
    };
    let (body, wrapped) = sealed.ok_or_else(|| Error::from(Fault::new(own::UPLOAD, "")))?;
    let description = json!({
        "queryId": material.query_id,
        "smkId": material.key_id,
        "keySize": (material.master.len() * 8).to_string(),
    });
    let envelope =
        Envelope { key: STANDARD.encode(wrapped), iv: STANDARD.encode(iv), description: description.to_string() };
    Ok(Sealed { body: body.into(), digest, envelope: Some(envelope) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockDecryptMut;

    fn opened(sealed: &Sealed, master: &[u8]) -> Vec<u8> {
        let envelope = sealed.envelope.as_ref().unwrap();
        let (wrapped, iv) = (STANDARD.decode(&envelope.key).unwrap(), STANDARD.decode(&envelope.iv).unwrap());
        if master.len() == 16 {
            let key = ecb::Decryptor::<Aes128>::new_from_slice(master).unwrap();
            let key = key.decrypt_padded_vec_mut::<Pkcs7>(&wrapped).unwrap();
            let file = cbc::Decryptor::<Aes128>::new_from_slices(&key, &iv).unwrap();
            return file.decrypt_padded_vec_mut::<Pkcs7>(&sealed.body).unwrap();
        }
        let key = ecb::Decryptor::<Aes256>::new_from_slice(master).unwrap();
        let key = key.decrypt_padded_vec_mut::<Pkcs7>(&wrapped).unwrap();
        assert_eq!(key.len(), 32);
        let file = cbc::Decryptor::<Aes256>::new_from_slices(&key, &iv).unwrap();
        file.decrypt_padded_vec_mut::<Pkcs7>(&sealed.body).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_master_key_alone() {
        for (size, bits) in [(16, "128"), (32, "256")] {
            let master = vec![7; size];
            let answer =
                json!([{"queryStageMasterKey": STANDARD.encode(&master), "queryId": "q", "smkId": 12345678901234_u64}]);
            let material = material(&answer).unwrap().unwrap();
            for length in [0, 1, 15, 16, 17, 100_003] {
                let plain = Bytes::from(vec![b'x'; length]);
                let (one, two) = (seal(&plain, Some(&material)).unwrap(), seal(&plain, Some(&material)).unwrap());
                assert_eq!(opened(&one, &master), plain);
                assert!(one.body != two.body && one.body != plain, "keys are new for every file");
                assert_eq!(one.digest, STANDARD.encode(Sha256::digest(&plain)));
                let description: Value = serde_json::from_str(&one.envelope.unwrap().description).unwrap();
                assert_eq!(description, json!({"queryId": "q", "smkId": "12345678901234", "keySize": bits}));
            }
        }
    }

    #[test]
    fn material_comes_in_any_form_or_not_at_all() {
        let key = STANDARD.encode([1; 16]);
        let one = json!({"queryStageMasterKey": key, "queryId": "q", "smkId": "9"});
        assert_eq!(material(&one).unwrap(), material(&json!([one])).unwrap());
        for none in
            [json!(null), json!([]), json!([null]), json!({}), json!({"queryStageMasterKey": null, "smkId": null})]
        {
            assert_eq!(material(&none).unwrap(), None, "{none}");
        }
        for broken in ["!", "AAAA"] {
            assert!(material(&json!({"queryStageMasterKey": broken})).is_err());
        }
        let plain = seal(&Bytes::from_static(b"x"), None).unwrap();
        assert!(plain.envelope.is_none() && plain.body == "x");
        assert!(!format!("{:?}", material(&one).unwrap()).contains(&key));
    }
}
