{{ config(meta={
    'description': 'Readers of the newsletter for France.',
    'owner': 'editorial',
    'purpose': 'marketing',
    'channels': ['email'],
}) }}

{{ newsletter_audience('FR') }}
