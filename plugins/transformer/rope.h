// Rotary positions and their scalings, from the fields that published configs have for them.
#pragma once

#include "plugins/transformer/fields.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {

// Reads rope_parameters, or rope_theta and rope_scaling, into shape.rope; `share` is the part of a head's
// channels that is turned where the config does not say.  Kinds: default, linear, dynamic (up to the training
// length, where it is the default; shape.most_tokens is set to it), llama3, yarn; others are refused by name.
void read_rope(Fields& config, Shape& shape, double share, double base);

}  // namespace deciban::transformer
