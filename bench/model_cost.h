// What scoring or decoding one token costs a model of a given shape, by rwkv.md §7.1.
#pragma once

#include <string>

#include "engine/checkpoint.h"
#include "engine/rwkv_names.h"

namespace deciban {

// The weights that a model spec of open_model() names, with official names; nothing is read yet.  Throws as
// open_model() does.
Checkpoint model_weights(const std::string& spec);

// The shape that such a spec has: a checkpoint's, or a published one ("random:rwkv7-0.1b").
// Throws as open_model() does.
RwkvShape model_shape(const std::string& spec);

// Elements of all matrices that a token is multiplied with, the head included; each costs two operations.
double product_elements(const RwkvShape& shape);

// Operations a token: products and the recurrence (a multiply-add counts two; exponentials are left out).
double flops_per_token(const RwkvShape& shape);

// Floats of one sequence's state, read and written at every token that is decoded.
double state_floats(const RwkvShape& shape);

}  // namespace deciban
