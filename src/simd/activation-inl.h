// Value and slope of each activation on vectors, for ops and for gemm's epilogue.
// with_activation(kind, f) calls f with the type that stands for `kind`.
// Slopes: with s = sigmoid(a x), (x s)' = s + a x s (1 - s); with t = tanh(u), t' = (1 - t^2) u';
// gelu' = Phi(x) + x exp(-x^2/2) / sqrt(2 pi); for mish see there.
// Comparisons are written so that NaN stays NaN at every level.

// Once per level, so the guard toggles (simd/math-inl.h).
#if defined(STEMMA_SIMD_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef STEMMA_SIMD_ACTIVATION_INL_H_
#undef STEMMA_SIMD_ACTIVATION_INL_H_
#else
#define STEMMA_SIMD_ACTIVATION_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace stemma {
namespace HWY_NAMESPACE {
namespace {
namespace activations {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE V constant(float value) { return hn::Set(D(), value); }
HWY_INLINE V positive_part(V x) { return hn::IfThenElse(hn::Le(x, constant(0)), constant(0), x); }

struct Gelu {
  static HWY_INLINE V phi(V x) {
    const V e = verf(D(), hn::Mul(x, constant(0.70710678118654752f)));
    return hn::Mul(constant(0.5f), hn::Add(constant(1), e));
  }
  static HWY_INLINE V value(V x) { return hn::Mul(x, phi(x)); }
  static HWY_INLINE V slope(V x) {
    const V density = vexp(D(), hn::Mul(hn::Mul(x, x), constant(-0.5f)));
    return vfma(hn::Mul(x, constant(0.39894228040143268f)), density, phi(x));
  }
};

struct GeluTanh {
  static constexpr float kScale = 0.79788456080286536f, kCubic = 0.044715f;
  static HWY_INLINE V tanh_part(V x, V square) {
    const V u = hn::Mul(constant(kScale), hn::Mul(x, vfma(constant(kCubic), square, constant(1))));
    return vtanh(D(), u);
  }
  static HWY_INLINE V value(V x) {
    const V t = tanh_part(x, hn::Mul(x, x));
    return hn::Mul(hn::Mul(constant(0.5f), x), hn::Add(constant(1), t));
  }
  static HWY_INLINE V slope(V x) {
    const V square = hn::Mul(x, x), t = tanh_part(x, square), half = constant(0.5f);
    const V inner = hn::Mul(constant(kScale), vfma(constant(3 * kCubic), square, constant(1)));
    const V rise = hn::Mul(hn::Mul(hn::Mul(half, x), vfnma(t, t, constant(1))), inner);
    return vfma(half, hn::Add(constant(1), t), rise);
  }
};

struct Gelu10 {
  static HWY_INLINE V value(V x) {
    const V y = Gelu::value(x);
    return hn::IfThenElse(hn::Gt(y, constant(10)), constant(10), y);
  }
  static HWY_INLINE V slope(V x) {
    return hn::IfThenElse(hn::Gt(Gelu::value(x), constant(10)), constant(0), Gelu::slope(x));
  }
};

// x sigmoid(a x), a = kThousandths / 1000.
template <int kThousandths>
struct Swish {
  static HWY_INLINE V scale() { return constant(kThousandths / 1000.0f); }
  static HWY_INLINE V gate(V x) { return vsigmoid(D(), hn::Mul(scale(), x)); }
  static HWY_INLINE V value(V x) { return hn::Mul(x, gate(x)); }
  static HWY_INLINE V slope(V x) {
    const V s = gate(x);
    return vfma(hn::Mul(hn::Mul(scale(), x), s), hn::Sub(constant(1), s), s);
  }
};

struct Relu {
  static HWY_INLINE V value(V x) { return positive_part(x); }
  static HWY_INLINE V slope(V x) {
    return hn::IfThenElse(hn::Le(x, constant(0)), constant(0), constant(1));
  }
};

struct Relu2 {
  static HWY_INLINE V value(V x) {
    const V y = positive_part(x);
    return hn::Mul(y, y);
  }
  static HWY_INLINE V slope(V x) { return hn::Mul(constant(2), positive_part(x)); }
};

struct Relu6 {
  static HWY_INLINE V value(V x) {
    return hn::IfThenElse(hn::Ge(x, constant(6)), constant(6), positive_part(x));
  }
  static HWY_INLINE V slope(V x) {
    return hn::IfThenElse(hn::Ge(x, constant(6)), constant(0), Relu::slope(x));
  }
};

struct Tanh {
  static HWY_INLINE V value(V x) { return vtanh(D(), x); }
  static HWY_INLINE V slope(V x) {
    const V t = value(x);
    return vfnma(t, t, constant(1));
  }
};

struct Sigmoid {
  static HWY_INLINE V value(V x) { return vsigmoid(D(), x); }
  static HWY_INLINE V slope(V x) {
    const V s = value(x);
    return hn::Mul(s, hn::Sub(constant(1), s));
  }
};

// With e = exp(x) and w = e (e + 2): tanh(log(1 + e)) = w / (w + 2), and its derivative by x is
// 4 e (1 + e) / (w + 2)^2. From x = 20 the quotient is 1, so e stops there.
struct Mish {
  static HWY_INLINE V limited_exp(V x) {
    return vexp(D(), hn::IfThenElse(hn::Gt(x, constant(20)), constant(20), x));
  }
  static HWY_INLINE V value(V x) {
    const V e = limited_exp(x), w = hn::Mul(e, hn::Add(e, constant(2)));
    return hn::Mul(x, hn::Div(w, hn::Add(w, constant(2))));
  }
  static HWY_INLINE V slope(V x) {
    const V e = limited_exp(x), w = hn::Mul(e, hn::Add(e, constant(2)));
    const V below = hn::Add(w, constant(2));
    const V rise = hn::Mul(hn::Mul(constant(4), e), hn::Add(constant(1), e));
    return vfma(x, hn::Div(rise, hn::Mul(below, below)), hn::Div(w, below));
  }
};

struct Identity {
  static HWY_INLINE V value(V x) { return x; }
  static HWY_INLINE V slope(V) { return constant(1); }
};

template <class F>
HWY_INLINE void with_activation(Activation kind, F f) {
  switch (kind) {
    case Activation::gelu:
      return f(Gelu());
    case Activation::gelu_tanh:
      return f(GeluTanh());
    case Activation::gelu_10:
      return f(Gelu10());
    case Activation::quick_gelu:
      return f(Swish<1702>());
    case Activation::silu:
      return f(Swish<1000>());
    case Activation::relu:
      return f(Relu());
    case Activation::relu2:
      return f(Relu2());
    case Activation::relu6:
      return f(Relu6());
    case Activation::tanh:
      return f(Tanh());
    case Activation::sigmoid:
      return f(Sigmoid());
    case Activation::mish:
      return f(Mish());
    case Activation::identity:
      return f(Identity());
  }
}

}  // namespace activations
}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stemma
HWY_AFTER_NAMESPACE();

#endif  // toggle
