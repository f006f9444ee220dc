#include "bench/model_cost.h"

#include <string_view>

#include "engine/checkpoint.h"
#include "engine/random_model.h"

namespace deciban {

Checkpoint model_weights(const std::string& spec) {
  constexpr std::string_view kRandom = "random:";
  if (spec.starts_with(kRandom)) return random_rwkv(random_spec(spec.substr(kRandom.size())));
  return official_rwkv(Checkpoint::open(spec));
}

RwkvShape model_shape(const std::string& spec) { return rwkv_shape(model_weights(spec)); }

double product_elements(const RwkvShape& s) {
  const double width = s.width, attention = s.attention, ffn = s.ffn;
  double layer = 2 * width * ffn;
  switch (s.version) {
    case RwkvVersion::v4:
    case RwkvVersion::v5_0:  // r, k, v, output; the channel mix's receptance
      layer += 4 * attention * width + width * width;
      break;
    case RwkvVersion::v5_1:
    case RwkvVersion::v5_2:  // and the gate
      layer += 5 * attention * width + width * width;
      break;
    case RwkvVersion::v6:
      layer += 5 * attention * width + width * width + 10 * width * static_cast<double>(s.mix_rank) +
               (width + attention) * static_cast<double>(s.decay_rank);
      break;
    case RwkvVersion::v7:
      layer += 4 * attention * width +
               (width + attention) * static_cast<double>(s.w_rank + s.a_rank + s.v_rank + s.g_rank);
      break;
  }
  return static_cast<double>(s.vocabulary) * width + static_cast<double>(s.layers) * layer;
}

double flops_per_token(const RwkvShape& s) {
  const double channels = static_cast<double>(s.layers) * static_cast<double>(s.attention);
  const double head = static_cast<double>(s.head_size);
  double recurrence = 7 * channels * head;
  if (s.version == RwkvVersion::v4) recurrence = 14 * channels;
  if (s.version == RwkvVersion::v7) recurrence = 9 * channels * head;
  return 2 * product_elements(s) + recurrence;
}

double state_floats(const RwkvShape& s) {
  const double layers = static_cast<double>(s.layers), width = static_cast<double>(s.width);
  if (s.version == RwkvVersion::v4) return layers * (2 * width + 3 * static_cast<double>(s.attention));
  return layers * (2 * width + static_cast<double>(s.attention) * static_cast<double>(s.head_size));
}

}  // namespace deciban
