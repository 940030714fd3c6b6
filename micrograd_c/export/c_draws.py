# SPDX-License-Identifier: MIT
"""Random numbers in C: this package's own generator, so that one seed gives the same numbers.

They are to the bit those of src/draws/, where the sources stand.
"""

PHILOX = """\
/* Two random words: Philox 4x32-10, of Salmon, Moraes, Dror and Shaw, SC 2011. */
static void philox(uint64_t seed, uint32_t sample, uint32_t draw, uint32_t step, uint32_t w[2]) {
    uint32_t c[4] = {sample, 0, draw / 2, step};
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)c[0] * 0xD2511F53, p1 = (uint64_t)c[2] * 0xCD9E8D57;
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ key0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ key1;
        c[3] = (uint32_t)p0;
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    w[0] = c[draw % 2 * 2];
    w[1] = c[draw % 2 * 2 + 1];
}"""

_HEAD = """\
static double {name}(uint64_t seed, uint32_t sample, uint32_t draw, uint32_t step) {{
    uint32_t w[2];
    philox(seed, sample, draw, step, w);
"""

UNIFORM = (
    "/* A number from 0 up to 1. */\n"
    + _HEAD.format(name="uniform")
    + "    return w[1] * 0x1p-32 + (w[0] >> 11) * 0x1p-53;\n}"
)
UNIFORM_FLOAT32 = (
    "/* A number from 0 up to 1, with the digits of a float. */\n"
    + _HEAD.format(name="uniform")
    + "    return (w[1] >> 8) * 0x1p-24;\n}"
)

_LOG = """\
static double poly(double x, int n, const double *c) {
    double y = c[n - 1];
    for (int k = n - 2; k >= 0; k--) y = fma(x, y, c[k]);
    return y;
}

static double log_of(double p) {
    static const double even[] = {0.66666666666666696, 0.28571428626001427, 0.18182889433757676,
        0.14616576421689886};
    static const double odd[] = {0.39999999999899449, 0.22222211130560723, 0.15331711346668644};
    int n;
    double m = frexp(p, &n);
    if (m < 0.7071067811865476) m *= 2.0, n--;
    const double f = m - 1.0, s = f / (2.0 + f), z = s * s, w = z * z, half = 0.5 * f * f;
    const double r = z * fma(z, poly(w, 3, odd), poly(w, 4, even));
    const double rest = half - fma(s, half + r, n * 1.90821492927058770002e-10);
    return fma(n, 6.93147180369123816490e-01, f - rest);
}
"""

_NORMAL = """\
/* A normal number: Wichura's PPND16, AS 241, Applied Statistics 37, 1988. */
{head}    static const double c[6][8] = {{
        {{3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
            1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
            3.3430575583588128105e+4, 2.5090809287301226727e+3}},
        {{1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
            2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
            5.2264952788528545610e+3}},
        {{1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
            3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
            2.27238449892691845833e-2, 7.74545014278341407640e-4}},
        {{1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
            1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
            1.05075007164441684324e-9}},
        {{6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
            2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
            2.71155556874348757815e-5, 2.01033439929228813265e-7}},
        {{1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
            7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
            2.04426310338993978564e-15}},
    }};
    const double p = (w[1] & 0x7FFFFFFF) * 0x1p-32 + (w[0] + 0.5) * 0x1p-64;
    double z;
    if (p >= 0.075) {{
        const double q = 0.5 - p, r = fma(-q, q, 0.180625);
        z = q * poly(r, 8, c[0]) / poly(r, 8, c[1]);
    }} else {{
        const int is_far = p < 1.388794386496402e-11;
        const double r = sqrt(-log_of(p)) - (is_far ? 5.0 : 1.6);
        z = poly(r, 8, c[is_far ? 4 : 2]) / poly(r, 8, c[is_far ? 5 : 3]);
    }}
    return {sign};
}}"""


def helpers(kind: str, is_float32: bool) -> dict[str, str]:
    """The functions that a kind of draws needs, by name, in order."""
    if kind == "uniform":
        return {"philox": PHILOX, "uniform": UNIFORM_FLOAT32 if is_float32 else UNIFORM}
    sign = "w[1] >> 31 ? -z : z"
    normal = _NORMAL.format(
        head=_HEAD.format(name="normal"), sign=f"(float)({sign})" if is_float32 else sign
    )
    return {"philox": PHILOX, "normal": f"{_LOG}\n{normal}"}
