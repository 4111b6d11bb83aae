// Additive terms of attention's scores, after scaling: for head h, the query at position p and the
// key at position j
//   HeadTable  += table[index(p, j), h]         T5, MPNet, TUPE
//   Slopes     -= slopes[h] |p - j|             ALiBi
//   QueryRows  += rows[query, h, index(p, j)]   DeBERTa's content to position, XLNet
//   KeyRows    += rows[key, h, index(p, j)]     DeBERTa's position to content; a term a key
// All take gradients. Every index but SameSegment is a function of the distance p - j.
// Sources: Raffel et al. 2020 (T5 buckets, in f32 with its truncation); Press et al. 2022 (ALiBi);
// He et al. 2021 (log buckets); Yang et al. 2019 (segments).
#pragma once

#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

// Always 0: a table or rows of one column.
struct One {};
// p - j, clamped to [low, high], from 0 on.
struct Distance {
  int low = 0, high = 0;
};
// Every distance up to half of the buckets has its own, farther ones share logarithmically up to
// max_distance. Bidirectional: the first half is for keys at or before the query, the second for
// later ones; otherwise those count as distance 0.
struct T5Bucket {
  bool bidirectional = false;
  int buckets = 32, max_distance = 128;
};
// Distances up to half of `buckets` as they are, farther ones logarithmically; 2 buckets columns,
// distance 0 being column `buckets`.
struct LogBucket {
  int buckets = 256, max_distance = 512;
};
// 0 where query and key belong to one segment, else 1.
struct SameSegment {
  Ints query, key;  // [Tq], [Tk]
};
using BiasIndex = std::variant<One, Distance, T5Bucket, LogBucket, SameSegment>;

struct HeadTable {
  Tensor table;  // [N,H]
  BiasIndex index;
};
struct Slopes {
  Tensor slopes;  // [H]
};
struct QueryRows {
  Tensor rows;  // [Tq,H,N]
  BiasIndex index;
};
struct KeyRows {
  Tensor rows;  // [Tk,H,N]
  BiasIndex index;
};
using BiasTerm = std::variant<HeadTable, Slopes, QueryRows, KeyRows>;

// How many columns an index needs.
int64_t index_columns(const BiasIndex& index);
// The column of an index that is a function of the distance alone; One is one.
bool is_distance_index(const BiasIndex& index);
int64_t distance_column(const BiasIndex& index, int64_t distance);

// The tensor of a term, its index (null for Slopes), and the term with another tensor.
const Tensor& bias_values(const BiasTerm& term);
const BiasIndex* bias_index(const BiasTerm& term);
BiasTerm with_values(BiasTerm term, const Tensor& values);

}  // namespace stemma
