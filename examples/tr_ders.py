# SPDX-License-Identifier: MIT
# %% [markdown]
# # Dersin tamamı: tek bir ifadeden 41 parametreli ağa
#
# Ders, otomatik türev motorunu sıfırdan kuruyor. Burada aynı yolu hazır motorla izliyoruz. Bir
# `Value` tek bir sayı tutar ve hangi işlemden çıktığını hatırlar. Bir nöral ağı eğitmek için
# gereken her şey bundan doğar.

# %%
import math
import random

from micrograd_c import Value, compile, gradcheck, optim, topological_sort
from micrograd_c.nn import MLP
from micrograd_c.viz import draw_dot, plot_losses

# %% [markdown]
# ## Bir graf kuralım (forward pass)
#
# Düğümlerden (node) `a`, `b` ve `c` yapraktır (leaf); `d` ile `y` onlardan hesaplanır. Bir işlemin
# girdilerine operand diyoruz; derste bunların adı child.

# %%
a = Value(2.0, label="a")
b = Value(-3.0, label="b")
c = Value(10.0, label="c")
d = a + b
y = d * c
d.label, y.label = "d", "y"
print(y)
print("y'nin işlemi:", y._op)
print("operandları d ile c:", y._prev == {d, c})

# %% [markdown]
# ## Geriye gidelim (backward pass)
#
# `backward()`, `y`'den `a`, `b` ve `c`'ye doğru yürür. Her düğüm kendisine gelen gradyanı
# (gradient) lokal türeviyle çarpıp operandlarına dağıtır: zincir kuralı budur. Sıra, topolojik
# sıralamanın tersidir.

# %%
y.backward()
for v in reversed(topological_sort(y)):
    print(f"{v.label}: data {v.data:+6.1f}, grad {v.grad:+6.1f}")

assert (a.grad, b.grad, c.grad, d.grad) == (10.0, 10.0, -1.0, 10.0)

# %% [markdown]
# Grafın resminde yapraklar sarı, sonuç yeşil. Her kutuda düğümün `data`'sı ve `grad`'ı var.

# %%
draw_dot(y)

# %% [markdown]
# ## Gradyanlar toplanır
#
# `a` üç yerde kullanılıyor: çarpmada iki kez, toplamada bir kez. Elle alınan türev `2a + 1`, yani
# 7. Her yoldan gelen gradyan toplanmasaydı bu sonuç çıkmazdı.

# %%
a = Value(3.0, label="a")
(a * a + a).backward()
print(a.grad)

assert a.grad == 7.0

# %% [markdown]
# ## Kendi işlemimiz
#
# Derste yaptığımız gibi: önce forward değeri, sonra gradyanı operanda dağıtan `_backward`
# closure'ı.


# %%
def kare(x):
    out = Value(x.data**2, (x,), "kare")

    def _backward():
        x.grad += 2 * x.data * out.grad  # = değil +=

    out._backward = _backward
    return out


x = Value(4.0)
(kare(x) + 1).backward()
print(x.grad)

assert x.grad == 8.0

# %% [markdown]
# ## Doğru mu? Gradyan kontrolü
#
# Girdiyi iki yana biraz oynatıp sonucun ne kadar değiştiğine bakarız. Bu merkezî farkı
# `gradcheck` bütün girdiler için hesaplar ve `backward()`'in bulduğuyla karşılaştırır.


# %%
def f(a, b, c):
    return (a + b) * c


h = 1e-5
sayisal = (f(2.0 + h, -3.0, 10.0) - f(2.0 - h, -3.0, 10.0)) / (2 * h)
print(f"a için sayısal türev: {sayisal:.4f}")
print("graf:", gradcheck(f, [2.0, -3.0, 10.0]))
print("kendi işlemimiz:", gradcheck(kare, [4.0]))

# %% [markdown]
# ## Alıştırmalar
#
# Dersin sonunda beş alıştırma var. Üçüncüsünü (aynı düğümün iki kez kullanıldığı hesap) yukarıda
# yaptık. İlk ikisi `exp` ile `relu`'yu eklemek. İkisinin de hazırı var; kendi yazdıklarımızı
# onlarla karşılaştıralım.


# %%
def benim_exp(x):
    out = Value(math.exp(x.data), (x,), "exp")

    def _backward():
        x.grad += out.data * out.grad  # exp'in türevi kendisidir

    out._backward = _backward
    return out


def benim_relu(x):
    out = Value(max(0.0, x.data), (x,), "relu")

    def _backward():
        x.grad += (1.0 if x.data > 0 else 0.0) * out.grad

    out._backward = _backward
    return out


for benim, hazir in ((benim_exp, Value.exp), (benim_relu, Value.relu)):
    for baslangic in (-2.0, 0.0, 1.5):
        x, z = Value(baslangic), Value(baslangic)
        benim(x).backward()
        hazir(z).backward()
        print(f"{benim.__name__}({baslangic:+.1f}): benimki {x.grad:.4f}, hazır {z.grad:.4f}")
        assert math.isclose(x.grad, z.grad)

# %% [markdown]
# Dördüncüsü: gradyanları sıfırlamayı unutursak ne olur? `backward()` sıfırlayarak başladığı için
# burada unutmanın zararı yok. micrograd ile PyTorch ise var olan gradyanın üstüne ekler;
# `accumulate=True` dersek bu motor da öyle yapar. İkinci adımda gradyan iki katına çıkar.

# %%
w = Value(1.0)
for adim in range(2):
    (w * 3).backward(accumulate=True)
    print(f"{adim + 1}. adımın gradyanı: {w.grad}")

assert w.grad == 6.0

# %% [markdown]
# Beşincisi: topolojik sırayı elle bulmak. `y` önce ilk operandına, toplama düğümüne gider; o da `a`
# ile `b`'ye. Toplamanın kendisi onlardan sonra eklenir. Ardından `c`, en son da `y` gelir.

# %%
a, b, c = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c")
sira = [v.label or v._op for v in topological_sort((a + b) * c)]
print(" ".join(sira))

assert sira == ["a", "b", "+", "c", "*"]

# %% [markdown]
# ## Ağ: 41 parametre
#
# Bir nöron ağırlıklı toplamı alır, bias'ı ekler, sonucu `tanh`'tan geçirir. Yan yana nöronlar
# bir katman, art arda katmanlar bir MLP olur. Bizimkinin 3 girdisi, katmanlarında da 4, 4 ve 1
# nöronu var: `4 * (3 + 1) + 4 * (4 + 1) + 1 * (4 + 1) = 41`.

# %%
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]

random.seed(42)
mlp = MLP(3, [4, 4, 1])
print("Toplam parametre:", len(mlp.parameters()))

assert len(mlp.parameters()) == 41

# %% [markdown]
# İlk katmandaki ilk nöronun grafı aşağıda. Ağırlıkların adları, ağdaki yerlerini söylüyor.

# %%
draw_dot(mlp.layers[0].neurons[0](xs[0]))

# %% [markdown]
# ## Eğitim döngüsü
#
# Dört adım: forward pass ve kayıp (loss), gradyanları sıfırlama, backward pass, güncelleme.

# %%
kayiplar = []
for step in range(50):
    preds = [mlp(x) for x in xs]
    loss = sum((p - y) ** 2 for p, y in zip(preds, ys, strict=True))
    for p in mlp.parameters():
        p.grad = 0.0
    loss.backward()
    for p in mlp.parameters():
        p.data -= 0.05 * p.grad
    kayiplar.append(loss.data)
    if step % 10 == 0 or step == 49:
        print(f"Adım {step:2d}: kayıp = {loss.data:.6f}")

for x, y in zip(xs, ys, strict=True):
    print(f"tahmin {mlp(x).data:+.3f}, hedef {y:+.1f}")

assert abs(kayiplar[0] - 5.278844) < 1e-6 and kayiplar[-1] < 0.03

# %% [markdown]
# ## Aynı eğitim, derlenmiş
#
# Kaybı tek bir örnek için yazarız. `compile` onu bir kez kaydeder; bütün eğitim döngüsünü C
# çekirdeği yürütür. Kayıplar aynıdır.

# %%
random.seed(42)
mlp = MLP(3, [4, 4, 1])
ornek_kaybi = compile(lambda x, y: (mlp(x) - y) ** 2, reduction="sum")
derlenmis = ornek_kaybi.fit(xs, ys, optimizer=optim.SGD(mlp.parameters(), lr=0.05), steps=50)
en_buyuk_fark = max(abs(k - d) for k, d in zip(kayiplar, derlenmis, strict=True))
print(f"son kayıp {derlenmis[-1]:.6f}, iki yol arasındaki en büyük fark {en_buyuk_fark:.0e}")

assert en_buyuk_fark < 1e-9

# %% [markdown]
# Kayıp eğrisi, iki yoldan:

# %%
try:
    eksen = plot_losses(kayiplar, label="Python döngüsü", log=True)
except ImportError as eksik:
    print("resim yok:", eksik)
else:
    plot_losses(derlenmis, label="compile ve fit", ax=eksen)
    eksen.lines[1].set_linestyle("--")
    eksen.legend(frameon=False)
    eksen.set_xlabel("adım")
    eksen.set_ylabel("kayıp")
    eksen.figure.savefig("tr_ders.png", dpi=100)
