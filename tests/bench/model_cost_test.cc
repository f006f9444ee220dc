#include "bench/model_cost.h"

#include <gtest/gtest.h>

#include "engine/random_model.h"

namespace deciban {
namespace {

TEST(ModelCost, CountsEveryMatrixOfEveryPublishedShape) {
  for (const std::string& name : random_shapes()) {
    const Checkpoint model = random_rwkv(random_spec(name));
    double matrices = 0;
    for (const StoredTensor& tensor : model.tensors) {
      const bool unused =
          tensor.name.starts_with("blocks.0.att.v") && tensor.name.ends_with(".weight") == false;
      const bool vector = tensor.shape.size() < 2 || tensor.name.ends_with("time_faaaa") ||
                          tensor.name.ends_with("time_decay") || tensor.name.ends_with("r_k");
      if (!vector && !unused && tensor.name != "emb.weight")
        matrices += static_cast<double>(tensor.elements());
    }
    // The published count of RWKV-7 leaves block 0's value LoRA out; the formula (2 C dv a layer) does not.
    const RwkvShape shape = model_shape("random:" + name);
    matrices += 2.0 * static_cast<double>(shape.width) * static_cast<double>(shape.v_rank);
    EXPECT_EQ(product_elements(shape), matrices) << name;
  }
}

// rwkv.md §7.1 by hand: C 768, F 3072, ranks 64 + 64 + 32 + 128, 12 layers, V 65536.
TEST(ModelCost, OfRwkv7) {
  const RwkvShape shape = model_shape("random:rwkv7-0.1b");
  EXPECT_EQ(product_elements(shape), 65536.0 * 768 + 12 * (12.0 * 768 * 768 + 2.0 * 768 * 288));
  EXPECT_EQ(flops_per_token(shape), 2 * product_elements(shape) + 12 * 9.0 * 768 * 64);
  EXPECT_EQ(state_floats(shape), 12 * 768.0 * 66);
}

TEST(ModelCost, OfRwkv4) {
  const RwkvShape shape = model_shape("random:rwkv4-169m");
  EXPECT_EQ(product_elements(shape), 50277.0 * 768 + 12 * 13.0 * 768 * 768);
  EXPECT_EQ(flops_per_token(shape), 2 * product_elements(shape) + 12 * 14.0 * 768);
  EXPECT_EQ(state_floats(shape), 12 * 768.0 * 5);
}

TEST(ModelCost, RefusesUnknownShapes) { EXPECT_THROW(model_shape("random:rwkv9-1b"), std::invalid_argument); }

}  // namespace
}  // namespace deciban
