//! No panic is lost: its message can be asked for after the module has stopped.

use std::sync::Mutex;

use wasm_bindgen::prelude::*;

static MESSAGE: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the message of a panic from now on. Runs by itself when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut message) = MESSAGE.try_lock() {
            *message = Some(info.to_string());
        }
    }));
}

/// The message of the panic that stopped the module, if one did.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    MESSAGE.try_lock().ok()?.clone()
}
