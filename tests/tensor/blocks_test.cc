// Numbers stored as F8 with a scale a block.
#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "run/engine.h"

namespace stemma {
namespace {

TEST(Blocks, EveryCodeIsItsNumber) {
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double magnitude = exponent == 0 ? std::ldexp(mantissa / 8.0, -6)
                                           : std::ldexp(1 + mantissa / 8.0, exponent - 7);
    const float value = widen_f8_e4m3(static_cast<uint8_t>(code));
    if ((code & 127) == 127) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(value, code < 128 ? magnitude : -magnitude) << code;
      EXPECT_EQ(std::signbit(value), code >= 128);
    }
  }
  EXPECT_EQ(widen_f8_e4m3(0x7e), 448.0f);  // the largest
}

TEST(Blocks, ScalesReachTheirBlocks) {
  Engine engine(2);
  Ctx c = engine.ctx();
  constexpr int64_t kRows = 7, kColumns = 10;
  const Tensor codes = Tensor::empty(c, {kRows, kColumns}, DType::f8_e4m3);
  for (int64_t i = 0; i < kRows * kColumns; ++i)
    codes.bytes()[i] = static_cast<std::byte>(0x38 + i % 8);  // 1 to 1.875
  BlockScales scales{{}, 3, 4};
  EXPECT_THROW(widen_blocks(c, codes, scales, 0, 1), Error);
  scales.values = Tensor::from<float>(c, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 3});
  for (int64_t first : {0, 2, 5}) {
    const Tensor part = widen_blocks(c, codes, scales, first, kRows - first);
    for (int64_t i = first; i < kRows; ++i)
      for (int64_t j = 0; j < kColumns; ++j) {
        const double code = 1 + static_cast<double>((i * kColumns + j) % 8) / 8;
        EXPECT_EQ(part.item((i - first) * kColumns + j),
                  code * static_cast<double>(1 + i / 3 * 3 + j / 4));
      }
  }
  scales.columns = 5;
  EXPECT_THROW(widen_blocks(c, codes, scales, 0, 1), Error) << "two columns of blocks, not three";
}

}  // namespace
}  // namespace stemma
