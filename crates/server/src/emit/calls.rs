//! One change of a computation, as a platform tells it, and the calls that it becomes.

use super::{Computation, Computations, Kind};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// Changes that are read at once.
pub const MAX_CHANGES: usize = 10_000;
/// Mobile ids that a change may have where they are sent.
pub const MAX_DEVICES: usize = 100;

/// Somebody entered or left an audience, or has a new value of a trait.
///
/// With an `id` or a `timestamp` the same change gives the same calls however often it is told; without either, each
/// time is a change of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// The key of the audience or trait.
    pub computation: String,
    /// For an audience `true` (in) or `false` (out), for a trait any JSON value, kept as written.
    pub value: Box<RawValue>,
    /// Whose it is.
    pub user_id: Option<String>,
    /// Whose it is, if the user is not known.
    pub anonymous_id: Option<String>,
    /// Sent along, as Segment does.
    pub email: Option<String>,
    /// When it happened, in ISO 8601; by default now.
    pub timestamp: Option<String>,
    /// What tells this change from others.
    pub id: Option<String>,
    /// The person's devices.
    #[serde(default)]
    pub mobile_ids: Vec<Device>,
}

/// A device of a person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// `ios` or `android`; `ios.idfa` and `android.idfa` are understood too.
    #[serde(rename = "type")]
    pub kind: String,
    /// The advertising id.
    #[serde(alias = "idfa", alias = "value")]
    pub advertising_id: String,
    /// The device's own id.
    pub id: Option<String>,
}

impl Device {
    fn platform(&self) -> Option<&'static str> {
        match self.kind.to_ascii_lowercase().as_str() {
            "ios" | "ios.idfa" => Some("ios"),
            "android" | "android.idfa" => Some("android"),
            _ => None,
        }
    }
}

/// Why a change becomes no calls. It holds no value of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// A word for programs.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Wrong {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Wrong { code, message: message.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

/// Reads changes: one, an array of them, or `{"changes": […]}`; at most [`MAX_CHANGES`].
pub fn changes(json: &[u8]) -> Result<Vec<Change>, Wrong> {
    #[derive(Deserialize)]
    struct Many<'j> {
        #[serde(borrow)]
        changes: Vec<&'j RawValue>,
    }
    let wrong = |error: serde_json::Error| Wrong::new("invalid_json", plain(&error));
    let first = json.trim_ascii_start().first();
    let all: Vec<&RawValue> = if first == Some(&b'[') {
        serde_json::from_slice(json).map_err(wrong)?
    } else if let Ok(Many { changes }) = serde_json::from_slice(json) {
        changes
    } else {
        vec![serde_json::from_slice(json).map_err(wrong)?]
    };
    if all.len() > MAX_CHANGES {
        let what = format!("these are {} changes; send at most {MAX_CHANGES} at once", all.len());
        return Err(Wrong::new("too_many", what));
    }
    let one = |(nth, raw): (usize, &RawValue)| {
        serde_json::from_str(raw.get())
            .map_err(|error| Wrong::new("bad_request", format!("change {nth}: {}", plain(&error))))
    };
    all.into_iter().enumerate().map(one).collect()
}

/// What a parser says, without the values that it may quote.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = ["missing field", "unknown field", "duplicate field"].iter().any(|known| text.starts_with(known));
    if said && error.is_data() {
        text
    } else if error.is_data() {
        "a field has a value of the wrong kind".to_owned()
    } else {
        "it is no JSON".to_owned()
    }
}

impl Computations {
    /// The calls of one change in a space; `now` is the time in ISO 8601.
    pub fn calls(&self, space: &str, change: &Change, now: &str) -> Result<Vec<String>, Wrong> {
        let Some(computation) = self.get(space, &change.computation) else {
            let what = "no [[audience]] or [[trait]] of this space has this key; add it to the configuration";
            return Err(Wrong::new("unknown_computation", what));
        };
        computation.calls(change, now)
    }
}

impl Computation {
    fn calls(&self, change: &Change, now: &str) -> Result<Vec<String>, Wrong> {
        let present = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.trim().is_empty());
        if !present(&change.user_id) && !present(&change.anonymous_id) {
            return Err(Wrong::new("no_user_anon_id", "give `userId` or `anonymousId`"));
        }
        let value = change.value.get();
        let event = match &self.kind {
            Kind::Audience { entered, exited } => match value {
                "true" => entered,
                "false" => exited,
                _ => return Err(Wrong::new("bad_request", "the value of an audience is true or false")),
            },
            Kind::Trait { event } => event,
        };
        if let Some(timestamp) = &change.timestamp
            && tablecast::core::time::parse(timestamp, tablecast::core::rules::Timestamps::Iso8601).is_none()
        {
            return Err(Wrong::new("timestamp_not_iso8601", "`timestamp` is a time in ISO 8601"));
        }
        let mut devices = vec![None];
        if self.mobile_ids {
            if change.mobile_ids.len() > MAX_DEVICES {
                return Err(Wrong::new("too_many", format!("a change has at most {MAX_DEVICES} mobile ids")));
            }
            for device in &change.mobile_ids {
                let platform = device.platform().filter(|_| !device.advertising_id.trim().is_empty());
                let what = "a mobile id has a `type`, ios or android, and an `advertisingId`";
                devices.push(Some((platform.ok_or_else(|| Wrong::new("bad_request", what))?, device)));
            }
        }
        let mut calls = Vec::new();
        for device in devices {
            if self.identify {
                calls.push(self.call(change, now, "identify", None, device));
            }
            if self.track {
                calls.push(self.call(change, now, "track", Some(event), device));
            }
        }
        Ok(calls)
    }

    fn call(
        &self,
        change: &Change,
        now: &str,
        kind: &str,
        event: Option<&str>,
        device: Option<(&'static str, &Device)>,
    ) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let at = change.timestamp.as_deref().unwrap_or(now);
        let mut context = json!({
            "personas": {
                "computation_class": self.class(),
                "computation_id": self.id,
                "computation_key": self.key,
                "namespace": self.space,
                "space_id": self.space,
            },
        });
        if let Some((platform, device)) = device {
            context["device"] =
                json!({"type": platform, "advertisingId": device.advertising_id, "adTrackingEnabled": true});
            if let Some(id) = &device.id {
                context["device"]["id"] = id.as_str().into();
            }
        }
        let email = change.email.as_deref().map(str::trim).filter(|email| !email.is_empty());
        let mut fields = vec![("type", text(kind)), ("messageId", text(&self.id_of(change, at, kind, device)))];
        let ids = [("userId", &change.user_id), ("anonymousId", &change.anonymous_id)];
        fields.extend(ids.into_iter().filter_map(|(key, id)| Some((key, text(id.as_deref()?)))));
        let value = change.value.get();
        let key = text(&self.key);
        match event {
            None => {
                let email = email.map_or(String::new(), |email| format!(r#","email":{}"#, text(email)));
                fields.push(("traits", format!("{{{key}:{value}{email}}}")));
            }
            Some(event) => {
                if let Some(email) = email {
                    context["traits"] = json!({"email": email});
                }
                let named = if self.class() == "audience" { "audience_key" } else { "trait_key" };
                fields.push(("event", text(event)));
                fields.push(("properties", format!(r#"{{"{named}":{key},{key}:{value}}}"#)));
            }
        }
        fields.push(("context", context.to_string()));
        let mut integrations = json!({"All": false});
        if let Some(names) = &self.warehouses {
            integrations["Warehouses"] = json!({"all": false, "warehouseIds": names});
        }
        fields.push(("integrations", integrations.to_string()));
        fields.push(("timestamp", text(at)));
        let members: Vec<String> = fields.iter().map(|(key, value)| format!(r#""{key}":{value}"#)).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The same for the same change, and another one for each of its calls.
    fn id_of(&self, change: &Change, at: &str, kind: &str, device: Option<(&'static str, &Device)>) -> String {
        let mut hasher = Xxh3Default::new();
        let device = device.map(|(platform, device)| format!("{platform}:{}", device.advertising_id));
        // Who gives an id means by it that its time may be told in another way.
        let when = change.id.as_ref().map_or_else(|| format!("at {at}"), |id| format!("id {id}"));
        let parts = [
            &*self.space,
            &*self.key,
            kind,
            change.user_id.as_deref().unwrap_or_default(),
            change.anonymous_id.as_deref().unwrap_or_default(),
            change.value.get(),
            &when,
            device.as_deref().unwrap_or_default(),
        ];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        format!("personas_{:032x}", hasher.digest128())
    }
}
