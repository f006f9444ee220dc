// All mixers, compiled once for each instruction set; KERNELS is the name of the table it exports.
#include "bench/mixers/aft-inl.h"
#include "bench/mixers/attention-inl.h"
#include "bench/mixers/hyena-inl.h"
#include "bench/mixers/linear-inl.h"
#include "bench/mixers/mega-inl.h"
#include "bench/mixers/mixer_kernels.h"
#include "bench/mixers/performer-inl.h"
#include "bench/mixers/reformer-inl.h"
#include "bench/mixers/rwkv4-inl.h"
#include "bench/mixers/rwkv7-inl.h"

#define DECIBAN_TEXT(name) #name
#define DECIBAN_STRING(name) DECIBAN_TEXT(name)

namespace deciban {
namespace {

std::unique_ptr<Mixer> make(std::string_view name) {
  if (name == "attention") return std::make_unique<AttentionMixer>();
  if (name == "reformer") return std::make_unique<ReformerMixer>();
  if (name == "performer") return std::make_unique<PerformerMixer>();
  if (name == "linear") return std::make_unique<LinearMixer>();
  if (name == "aft-full") return std::make_unique<AftFullMixer>();
  if (name == "aft-local") return std::make_unique<AftLocalMixer>();
  if (name == "mega") return std::make_unique<MegaMixer>();
  if (name == "hyena") return std::make_unique<HyenaMixer>();
  if (name == "rwkv4") return std::make_unique<Rwkv4Mixer>();
  if (name == "rwkv7") return std::make_unique<Rwkv7Mixer>();
  return nullptr;
}

}  // namespace

extern "C" {
extern const MixerKernels KERNELS;
const MixerKernels KERNELS = {DECIBAN_STRING(KERNELS) + sizeof("kernels_mixers_") - 1, make};
}

}  // namespace deciban
