# SPDX-License-Identifier: MIT
# The operation table as Python sees it, and what help(Value.tanh) says: the formula and the derivative, from
# the trees of the cells.
from headers.tape cimport *

def operations():
    """The operation table: for each row its name, symbol, shape and a tested interval; whether it is a
    method of Value, and whether it is an inner row, which no method or operator records."""
    shapes = {UNARY: 'unary', SCALED: 'scaled', STOPPED: 'stopped', BINARY: 'binary', TERNARY: 'ternary',
              VARIADIC: 'variadic'}
    return [{'name': op_info[op].name.decode(), 'symbol': op_info[op].symbol.decode(),
             'shape': shapes[op_info[op].shape], 'interval': (op_info[op].low, op_info[op].high),
             'is_method': bool(op_is_method(<int>op)), 'is_inner': bool(op_is_inner(<int>op))}
            for op in range(OP_leaf + 1, OP_COUNT)]

# Constants of cells, by what they are.
cdef dict constants = {
    0.70710678118654752440: ('inv_sqrt_2', '1 / sqrt(2)'),
    0.39894228040143267794: ('inv_sqrt_2pi', '1 / sqrt(2 * pi)'),
    1.12837916709551257390: ('two_inv_sqrt_pi', '2 / sqrt(pi)'),
    0.69314718055994530942: ('ln_2', 'log(2)'),
    2.30258509299404568402: ('ln_10', 'log(10)'),
}

# Rows that cells call and Python's math module has not got; the method of that name says so, too.
cdef dict meanings = {
    'sigmoid': 'sigmoid(x) is 1 / (1 + exp(-x))',
    'normal_cdf': 'normal_cdf(x) is (1 + erf(x / sqrt(2))) / 2',
}

cdef dict operators = {'add': ('+', 1), 'sub': ('-', 1), 'mul': ('*', 2), 'truediv': ('/', 2)}
cdef tuple comparisons = ('<', '<=', '==')

def cell_tree(int op, int which):
    """A cell of the operation table as a tree: a number, a name, or (row or '?' or comparison, *trees).

    which: -1 for the value, else the operand whose gain it is. None: there is no such cell.
    """
    if cell_text(<Op>op, which) == NULL:
        return None
    cdef const Cell *cell = cell_of(<Op>op, which)
    return tree_of(cell, cell.size - 1)

cdef object tree_of(const Cell *cell, int at):
    cdef const Item *item = &cell.items[at]
    if item.kind == ITEM_NUMBER:
        return item.number
    if item.kind == ITEM_NAME:
        return 'xywzg'[item.name]
    operands = [tree_of(cell, item.a)]
    if item.kind == ITEM_COMPARE:
        return comparisons[item.compare], operands[0], tree_of(cell, item.b)
    if item.kind == ITEM_CHOICE:
        return '?', operands[0], tree_of(cell, item.b), tree_of(cell, item.c)
    if op_info[item.op].shape != UNARY:
        operands.append(tree_of(cell, item.b))
    if op_info[item.op].shape == TERNARY:
        operands.append(tree_of(cell, item.c))
    return (op_info[item.op].name.decode(), *operands)

cdef object with_adjoint_1(tree):
    """A gain's tree where g is 1, that is the derivative."""
    if tree == 'g':
        return 1.0
    if not isinstance(tree, tuple):
        return tree
    tree = (tree[0], *[with_adjoint_1(part) for part in tree[1:]])
    if tree[0] == 'mul' and 1.0 in tree[1:]:
        return tree[2] if tree[1] == 1.0 else tree[1]
    if tree[0] == 'mul' and tree[1] == -1.0:
        return 'neg', tree[2]
    if tree[0] == 'truediv' and tree[2] == 1.0:
        return tree[1]
    if tree[0] == 'neg' and isinstance(tree[1], float):
        return -tree[1]
    return tree

cdef str written(tree, int binding=0):
    """A tree as Python writes it, in parentheses where what is around it binds closer than it does."""
    if isinstance(tree, float):
        text = constants[tree][0] if tree in constants else f'{tree:.17g}'
        return f'({text})' if tree < 0 and binding > 2 else text
    if isinstance(tree, str):
        return tree
    name, own = tree[0], 0
    if name in operators:
        sign, own = operators[name]
        if name == 'mul' and tree[1] == tree[2] and isinstance(tree[1], str):
            return f'{tree[1]}**2'
        text = f'{written(tree[1], own)} {sign} {written(tree[2], own + 1)}'
    elif name == 'neg':
        own = 2
        text = f'-{written(tree[1], 3)}'
    elif name == '?':
        condition, chosen, other = tree[1:]
        text = f'{written(chosen, 1)} if {written(condition)} else {written(other)}'
        own = 0
    elif name in comparisons:
        left, right = tree[1:]
        if isinstance(left, float) and name != '==':
            return f'{written(right, 1)} {name.replace("<", ">")} {written(left, 1)}'
        return f'{written(left, 1)} {name} {written(right, 1)}'
    elif name == 'pow':
        own = 4
        text = f'{written(tree[1], 4)}**{written(tree[2], 4)}'
    else:
        return f'{name}({", ".join([written(part) for part in tree[1:]])})'
    return f'({text})' if own < binding else text

cdef set words_of(str text):
    return set(''.join([letter if letter.isalnum() or letter == '_' else ' ' for letter in text]).split())

cdef str help_of(int op):
    cdef str name = op_info[op].name.decode()
    cdef Shape shape = op_info[op].shape
    formula = written(cell_tree(op, -1))
    by = [written(with_adjoint_1(cell_tree(op, which))) for which in range(op_arity(op))]
    derivative = '; '.join([f'{part} by {name}' for part, name in zip(by, 'xyw')]) if len(by) > 1 else by[0]
    signature, operands = '$self, /', 'this value'
    if shape == BINARY:
        signature, operands = '$self, other, /', 'this value, y is other, a Value or a number'
    elif shape == TERNARY:
        signature, operands = '$self, y, w, /', 'this value, y and w are Values or numbers'
    lines = [f'{name}({signature})\n--\n\n{formula}, where x is {operands}; a new node.', '',
             f'Derivative: {derivative}' + (', where z is the result.' if 'z' in words_of(derivative) else '.')]
    words = words_of(f'{formula} {derivative}')
    for helper, meaning in [*[(row, meaning) for row, meaning in meanings.items()],
                            *[(short, f'{short} is {meaning}') for short, meaning in constants.values()]]:
        if helper in words:
            lines.append(f'{meaning}.')
    return '\n'.join(lines)
