import { readdirSync } from 'node:fs'

import tseslint from 'typescript-eslint'

const features = readdirSync(new URL('./src/features', import.meta.url))

// A feature must be removable: what two of them need goes to shared/ or into the table of pages.
const alone = features.map((name) => ({
  files: [`src/features/${name}/**`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: features
          .filter((other) => other !== name)
          .map((other) => ({ group: [`**/${other}/*`, `**/features/${other}/**`] })),
      },
    ],
  },
}))

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'src/shared/api/*.d.ts'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      'max-lines': ['error', 400],
      'no-restricted-syntax': [
        'error',
        {
          selector: "AssignmentExpression[left.property.name='innerHTML']",
          message: 'text only: names and fields come from outside',
        },
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: 'text only: names and fields come from outside',
        },
      ],
    },
  },
  ...alone,
  {
    files: ['src/shared/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/features/**', '**/app/**'], message: 'shared stands below' }] },
      ],
    },
  },
)
