#include "ops/carried.h"

#include "ops/primitives.h"

namespace stemma {
namespace {

Shape with_leading(int64_t extent, const Shape& one) {
  Shape shape = {extent};
  for (int d = 0; d < one.rank(); ++d) shape.push_back(one[d]);
  return shape;
}

}  // namespace

Tensor pack(Ctx& c, std::span<const Tensor> each, const Shape& one, DType dtype) {
  std::vector<Tensor> rows;
  for (const Tensor& t : each)
    rows.push_back(reshape(c, t ? t : Tensor::zeros(c, one, dtype), with_leading(1, one)));
  return concat(c, rows, 0);
}

PoolVector<Tensor> unpack(Ctx& c, const Tensor& packed) {
  Shape one;
  for (int d = 1; d < packed.rank(); ++d) one.push_back(packed.extent(d));
  PoolVector<Tensor> each(c.pool);
  for (int64_t s = 0; s < packed.extent(0); ++s)
    each.push_back(reshape(c, slice(c, packed, 0, s, s + 1), one));
  return each;
}

void check_carried(const char* op, std::span<const Tensor> each, size_t sequences,
                   const Shape& one) {
  check(each.size() == sequences, "[", op, "] ", each.size(), " states for ", sequences,
        " sequences; there must be one for each");
  for (const Tensor& t : each)
    check(!t || t.shape() == one, "[", op, "] a state has shape ", t.shape().to_string(),
          "; it must be ", one.to_string());
}

}  // namespace stemma
